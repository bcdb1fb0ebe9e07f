"""Every architecture: a gate at 0 is a zeroed slice, and a model without heads is the gated one, also saved and loaded.

Heads and shapes are random (hypothesis); layers that lose all heads, and models left with one, are always tried.
"""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from helpers import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from fasp_core.export.checkpoints import export_checkpoint, load_pruned
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.models.heads import gate_heads
from fasp_core.models.removal import remove_heads
from fasp_core.selection.select_heads import Selection

NEW_TOKENS = 20
LAYERS, HEADS = 2, 4
EVERY = [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
SETS = {
    "first layer": EVERY[:HEADS],
    "last layer": EVERY[HEADS:],
    "all but one": [head for head in EVERY if head != (1, 2)],
    "all": EVERY,
    "whole key group and half of one": [(0, 0), (0, 1), (1, 1)],
}
head_sets = st.sets(st.sampled_from(EVERY)).map(sorted)

architectures = pytest.mark.parametrize("name", tiny.ARCHITECTURES)
few = settings(max_examples=6, deadline=None, derandomize=True)


@functools.cache
def made(name):
    return tiny.make_architecture(name)


@torch.no_grad()
def behaviour(model):
    """Logits of two sequences of which one is padded on the left, and what is generated from them with the cache."""
    ids = torch.randint(3, 250, (2, 12), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    logits = model(ids, attention_mask=mask).logits[mask.bool()]
    tokens = model.generate(
        ids, attention_mask=mask, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=1
    )
    return logits, tokens


def assert_same(model, logits, tokens):
    got, generated = behaviour(model)
    assert float((got - logits).abs().max() / logits.abs().max()) <= 1e-5
    assert torch.equal(generated, tokens)


def gated(lm, heads):
    with gate_heads(lm.model, heads):
        return behaviour(lm.model)


def removed(lm, heads):
    return remove_heads(copy.deepcopy(lm.model), heads)


@architectures
def test_a_gate_at_0_is_the_slice_zeroed_by_hand(name):
    lm = made(name)
    heads = [(0, 1), (1, 0), (1, 3)]
    model = copy.deepcopy(lm.model)
    weights = [
        weight
        for path, weight in model.named_parameters()
        if path.split(".")[-2] in {"o_proj", "out_proj", "c_proj", "dense"}
        and "mlp" not in path
        and path.endswith("weight")
    ]
    assert len(weights) == LAYERS
    for layer, head in heads:
        rows = slice(head * lm.layout.head_dim, (head + 1) * lm.layout.head_dim)
        (weights[layer] if name == "gpt2" else weights[layer].T)[rows] = 0
    assert_same(model, *gated(lm, heads))


@architectures
@pytest.mark.parametrize("heads", SETS.values(), ids=SETS)
def test_removed_equals_gated_at_the_edges(name, heads):
    lm = made(name)
    model = removed(lm, heads)
    assert_same(model, *gated(lm, heads))
    assert model.num_parameters() < lm.model.num_parameters()


@architectures
@few
@given(heads=head_sets)
def test_removed_equals_gated_for_any_heads(name, heads):
    lm = made(name)
    assert_same(removed(lm, heads), *gated(lm, heads))


@few
@given(
    key_heads=st.integers(1, 4),
    group=st.integers(1, 4),
    head_dim=st.sampled_from([2, 4, 8]),
    biased=st.booleans(),
    implementation=st.sampled_from(["eager", "sdpa"]),
    draw=st.data(),
)
def test_removed_equals_gated_for_any_group_shape(key_heads, group, head_dim, biased, implementation, draw):
    config = copy.deepcopy(tiny.ARCHITECTURES["llama_grouped"])
    config.num_attention_heads, config.num_key_value_heads = key_heads * group, key_heads
    config.head_dim, config.attention_bias = head_dim, biased
    lm = tiny.make_language_model(config)
    lm.model.set_attn_implementation(implementation)
    every = [(layer, head) for layer in range(LAYERS) for head in range(key_heads * group)]
    heads = draw.draw(st.sets(st.sampled_from(every)).map(sorted))
    model = removed(lm, heads)
    assert_same(model, *gated(lm, heads))
    kept = {(layer, head // group) for layer, head in every if (layer, head) not in heads}
    keys = [m.k_proj for m in model.modules() if hasattr(m, "k_proj")]
    assert sum(k.out_features for k in keys) == len(kept) * head_dim


@architectures
def test_both_forms_survive_save_and_load(name, tmp_path):
    lm = made(name)
    heads = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1)]
    selection = Selection(
        pruned=tuple(heads),
        protected=(),
        method="random",
        axis=None,
        gamma=0.0,
        alpha=0.625,
        n_layers=LAYERS,
        heads_per_layer=HEADS,
    )
    config = PruningConfig.from_selection(selection, lm)
    intact, expected = behaviour(lm.model), gated(lm, heads)
    compact = export_checkpoint(lm, config, tmp_path / "compact", form="compact")
    masked = export_checkpoint(lm, config, tmp_path / "masked", form="masked")
    assert_same(load_pruned(compact), *expected)
    assert_same(AutoModelForCausalLM.from_pretrained(masked), *expected)
    assert (compact / "model.safetensors").stat().st_size < (masked / "model.safetensors").stat().st_size
    assert_same(lm.model, *intact)
