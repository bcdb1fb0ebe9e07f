"""Heads that transformers' own attention functions return as zero, and what is left as it was."""

from __future__ import annotations

import pytest
import torch
from helpers import tiny
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from fasp_core.models.attention_outputs import heads_zeroed
from fasp_core.models.heads import gate_heads

IDS = torch.arange(3, 15)[None]


@pytest.mark.parametrize("name", ["llama_grouped", "gpt2", "gemma2"])  # gemma2 has an attention function of its own
def test_zeroed_heads_are_gated_heads(name):
    lm = tiny.make_architecture(name)
    with torch.no_grad(), heads_zeroed(lm.model, lm.layout.layers, {0: [1], 1: [0, 3]}) as seen:
        zeroed = lm.model(IDS).logits
    with torch.no_grad(), gate_heads(lm.model, [(0, 1), (1, 0), (1, 3)]):
        gated = lm.model(IDS).logits
    torch.testing.assert_close(zeroed, gated)
    assert seen == {layer: [(lm.layout.heads_per_layer, lm.layout.head_dim)] for layer in range(2)}


def test_other_models_and_later_passes_are_untouched():
    lm, other = tiny.make_architecture("llama_grouped"), tiny.make_architecture("llama_grouped")
    before = dict(ALL_ATTENTION_FUNCTIONS._local_mapping)
    with torch.no_grad():
        expected = lm.model(IDS).logits
        with heads_zeroed(lm.model, lm.layout.layers, {0: [0, 1, 2, 3]}):
            assert torch.equal(other.model(IDS).logits, expected)
            assert not torch.equal(lm.model(IDS).logits, expected)
        assert torch.equal(lm.model(IDS).logits, expected)
    assert dict(ALL_ATTENTION_FUNCTIONS._local_mapping) == before


def test_an_error_inside_leaves_nothing_behind():
    lm = tiny.make_architecture("llama_grouped")
    before = dict(ALL_ATTENTION_FUNCTIONS._local_mapping)
    with pytest.raises(IndexError), heads_zeroed(lm.model, lm.layout.layers, {0: [99]}):
        lm.model(IDS)
    assert dict(ALL_ATTENTION_FUNCTIONS._local_mapping) == before
