"""How large a model is, and how large a compact checkpoint without some heads: parameters, and bytes of the weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from transformers import PreTrainedModel

from fasp_core.head import Head
from fasp_core.models.compensation import Compensation, compensate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.removal import copy_sharing_weights, remove_heads


def model_size(model: PreTrainedModel, dtype: torch.dtype) -> tuple[int, int]:
    """Parameters, and bytes of all weights in a file whose number format is `dtype`; tied weights count once."""
    weights = {id(weight): weight for weight in model.state_dict(keep_vars=True).values()}.values()
    parameters = [weight for weight in weights if isinstance(weight, nn.Parameter)]
    others = sum(weight.numel() * weight.itemsize for weight in weights if not isinstance(weight, nn.Parameter))
    n = sum(weight.numel() for weight in parameters)
    return n, n * dtype.itemsize + others


def sizes(lm: LanguageModel, heads: Iterable[Head], fitted: Compensation | None = None) -> list[tuple[int, int]]:
    """`model_size` of the intact model, and of its compact checkpoint without the heads; `lm` stays as it is.

    With `fitted` the checkpoint has the refitted layers. Raises InputError where heads cannot be cut out.
    """
    smaller = copy_sharing_weights(lm.model)
    if fitted is not None:
        compensate_heads(smaller, fitted)
    return [model_size(model, lm.export_dtype) for model in (lm.model, remove_heads(smaller, heads))]
