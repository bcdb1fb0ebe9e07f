"""Any architecture of any shape, without any heads, is the gated model or refused by name."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.combinations import drawn, verdict
from benchmarks.random_models import behaviour, difference, knock_out_fault, random_model, tiny_config
from fasp_core.models.loading import quiet_loading


@settings(max_examples=25, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_removed_is_gated_or_refused_by_name(seed):
    combination = drawn(seed)
    with quiet_loading():
        found = verdict(combination)
    assert not found.startswith("WRONG"), combination
    assert found == "exact" or ": " in found


def test_what_proves_it_finds_a_difference():
    """The proof is not blind: another seed, and a model that forgets its gates, are told apart."""
    one, other = (random_model(tiny_config("llama"), seed=seed) for seed in (0, 1))
    assert difference(behaviour(one), behaviour(one)) is None
    assert difference(behaviour(one), behaviour(other)).startswith("logits differ by")
    assert knock_out_fault(one) is None
    with torch.no_grad():
        one.model.layers[1].self_attn.o_proj.weight[:, 8:16] = 0
    assert knock_out_fault(one) == "head (1, 1) changes nothing"


@pytest.mark.parametrize("kind", ["gpt2", "gemma3", "bloom", "mpt"])
def test_tiny_configs_are_tiny(kind):
    config = tiny_config(kind).get_text_config()
    assert (config.vocab_size, config.num_hidden_layers, config.num_attention_heads) == (259, 2, 4)
