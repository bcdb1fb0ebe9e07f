"""Derivatives by a head's gate without autograd, for tests of gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch

from fasp_core.models.heads import HeadLayout, HookOf, apply_gates
from fasp_core.models.language_model import LanguageModel

Values = TypeVar("Values", torch.Tensor, np.ndarray)
STEP = 2e-3  # the norms of Llama round to float32, so not smaller; hence the difference of fourth order


def in_float64(lm: LanguageModel) -> LanguageModel:
    """A copy in float64, where a small step leaves digits enough."""
    model = copy.deepcopy(lm.model).double()
    return replace(lm, model=model, layout=HeadLayout.of(model), dtype=torch.float64)


def gate_slope(lm: LanguageModel, flat_id: int, measure: Callable[[], Values], hook_of: HookOf | None = None) -> Values:
    """The derivative of `measure()` by the gate of one head, at 1."""
    at = {}
    for k in (-2, -1, 1, 2):
        gates = torch.ones(lm.layout.n_layers, lm.layout.heads_per_layer, dtype=torch.float64)
        gates[lm.layout.head(flat_id)] += k * STEP
        with apply_gates(lm.layout, gates, hook_of):
            at[k] = measure()
    return (at[-2] - 8 * at[-1] + 8 * at[1] - at[2]) / (12 * STEP)
