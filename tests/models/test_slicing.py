"""Which heads stay and how queries find their keys; the magnitude of a head's weights."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from helpers import tiny
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.models.slicing import AttentionWeights, KeptHeads, projection_magnitude


@pytest.mark.parametrize(
    ("queries", "group", "expected"),
    [
        ([0, 1, 2, 3], 2, KeptHeads((0, 1, 2, 3), (0, 1), 2, (0, 1, 2, 3))),
        ([2, 3], 2, KeptHeads((2, 3), (1,), 2, (2, 3))),  # a whole group gone
        ([0, 3], 2, KeptHeads((0, 3), (0, 1), 1, (0, 3))),  # one query of each: even again, one to a key head
        ([0, 1, 2], 2, KeptHeads((0, 1, 2), (0, 1), 2, (0, 1, 2, 2))),
        ([1, 4, 5, 6, 11], 4, KeptHeads((1, 4, 5, 6, 11), (0, 1, 2), 3, (1, 1, 1, 4, 5, 6, 11, 11, 11))),
        ([1, 3], 1, KeptHeads((1, 3), (1, 3), 1, (1, 3))),
    ],
)
def test_kept_heads_by_hand(queries, group, expected):
    assert KeptHeads.of(queries, group) == expected


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_every_kept_query_still_finds_its_key(key_heads, group, data):
    queries = data.draw(st.sets(st.sampled_from(range(key_heads * group)), min_size=1).map(sorted))
    kept = KeptHeads.of(queries, group)
    assert len(kept.slots) == len(kept.keys) * kept.group
    assert [kept.keys[n // kept.group] for n in range(len(kept.slots))] == [query // group for query in kept.slots]
    assert [slot for slot, filler in zip(kept.slots, kept.fillers(), strict=True) if not filler] == queries
    assert set(kept.keys) == {query // group for query in queries}
    assert kept.group == max(Counter(query // group for query in queries).values())  # never more work than before


def test_the_magnitude_of_a_head_by_hand():
    """Head 3 of 4 with two key heads: its rows of q, those of key head 1 in k and v, its columns of o."""
    lm = tiny.make_architecture("llama_grouped")
    attention = lm.model.model.layers[0].self_attn
    own, keys = slice(24, 32), slice(8, 16)
    squares = [
        attention.q_proj.weight[own].square().sum(),
        attention.k_proj.weight[keys].square().sum(),
        attention.v_proj.weight[keys].square().sum(),
        attention.o_proj.weight[:, own].square().sum(),
    ]
    parts = AttentionWeights.of(lm.layout, 0, "x")
    assert parts.magnitude(3) == pytest.approx(float(torch.stack(squares).sum().sqrt()), rel=1e-6)
    assert projection_magnitude(lm.layout, parts.projection, 3) == pytest.approx(float(squares[3].sqrt()), rel=1e-6)
