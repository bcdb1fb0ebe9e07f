"""Where an architecture can keep a bias of its output projections, so that a checkpoint with one loads anywhere."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import PreTrainedModel

from fasp_core.models.heads import HeadLayout

SWITCH: Literal["attention_bias"] = "attention_bias"  # what the configs of transformers call it
BiasPlace = Literal["bias", "attention_bias"] | None


def bias_place(model: PreTrainedModel, layout: HeadLayout) -> BiasPlace:
    """`"bias"` where every output projection has one, `"attention_bias"` where the config's switch gives them one.

    None where there is neither (Mistral, Qwen2, Phi-3, GPT-J, StableLM).
    """
    if all(projection.bias is not None for projection in layout.projections):
        return "bias"
    if getattr(model.config.get_text_config(), SWITCH, None) is not False:
        return None
    projections = HeadLayout.of(_with_switch(model)).projections
    return SWITCH if all(projection.bias is not None for projection in projections) else None


def add_missing_biases(model: PreTrainedModel) -> None:
    """Turn the config's switch on, in place; every bias that the model lacks under it is 0."""
    switched = _with_switch(model)
    for name, module in switched.named_modules():
        own = model.get_submodule(name)
        if getattr(module, "bias", None) is not None and own.bias is None:
            zeros = torch.zeros(module.bias.shape, dtype=own.weight.dtype, device=own.weight.device)
            own.bias = nn.Parameter(zeros, requires_grad=own.weight.requires_grad)
    setattr(model.config.get_text_config(), SWITCH, True)


def _with_switch(model: PreTrainedModel) -> PreTrainedModel:
    """The same architecture with the switch on, without weights."""
    config = copy.deepcopy(model.config)
    setattr(config.get_text_config(), SWITCH, True)
    with init_empty_weights():
        return type(model)(config)
