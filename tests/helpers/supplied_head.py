"""A tiny GPT-2 in which the other heads of a layer can supply one: what is lost when it goes must read zero."""

from __future__ import annotations

import torch

from fasp_core.models.language_model import LanguageModel
from helpers import tiny


def with_a_supplied_head() -> LanguageModel:
    """Head 1 of layer 0 writes what heads 0 and 2 write together, so each of the three can be supplied."""
    lm = tiny.make_language_model(tiny.ARCHITECTURES["gpt2"])
    with torch.no_grad():
        qkv = lm.layout.layers[0].attn.c_attn
        qkv.weight[:, :64], qkv.bias[:64] = 0, 0  # all tokens are attended to alike, by every head
        weight, bias = qkv.weight[:, 64:], qkv.bias[64:]
        weight[:, 8:16], bias[8:16] = weight[:, :8] + weight[:, 16:24], bias[:8] + bias[16:24]
    return lm
