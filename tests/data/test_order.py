"""The order of samples is balanced, endless, and the same wherever it is entered."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.data.order import each_prompt_once, in_passes, sample_order, shuffled


def _prompts(descriptors_per_group, templates):
    rows = [
        (group, f"{group}-{d}")
        for group, n in enumerate(descriptors_per_group)
        for d in range(n)
        for _ in range(templates)
    ]
    frame = pd.DataFrame(rows, columns=["group", "descriptor"])
    frame.insert(0, "prompt_id", range(len(frame)))
    return frame


sizes = st.lists(st.integers(1, 5), min_size=2, max_size=4)


@given(sizes, st.integers(1, 4), st.integers(1, 200))
def test_groups_descriptors_and_prompts_are_balanced(descriptors, templates, n):
    prompts = _prompts(descriptors, templates)
    order = sample_order(prompts, seed=0, axis="a", start=0, stop=n).merge(prompts, on="prompt_id")
    by_group = order["group"].value_counts().reindex(range(len(descriptors)), fill_value=0)
    assert by_group.max() - by_group.min() <= 1
    for group, rows in order.groupby("group"):
        by_descriptor = rows["descriptor"].value_counts()
        missing = descriptors[group] - len(by_descriptor)
        assert by_descriptor.max() - (0 if missing else by_descriptor.min()) <= 1
    assert not order.duplicated(["prompt_id", "draw"]).any()


@given(sizes, st.integers(0, 60), st.integers(1, 40))
def test_any_part_is_a_part_of_the_whole(descriptors, start, n):
    prompts = _prompts(descriptors, 3)
    whole = sample_order(prompts, seed=1, axis="a", start=0, stop=100)
    part = sample_order(prompts, seed=1, axis="a", start=start, stop=start + n)
    pd.testing.assert_frame_equal(part, whole[start : start + n].reset_index(drop=True))


def test_seed_and_axis_change_the_order():
    prompts = _prompts([4, 4], 4)
    orders = {
        tuple(sample_order(prompts, seed=seed, axis=axis, start=0, stop=20)["prompt_id"])
        for seed, axis in [(0, "a"), (1, "a"), (0, "b")]
    }
    assert len(orders) == 3


def test_shuffled_is_a_permutation():
    assert sorted(shuffled(50, seed=0, stream="text")) == list(range(50))


@given(sizes, st.integers(1, 4), st.integers(1, 5), st.integers(0, 50))
def test_each_prompt_once_is_matched_between_groups(descriptors, templates, n_blocks, seed):
    """Every prompt once; a cell holds one of each group that has any left, from one template if they share it."""
    prompts = _prompts(descriptors, templates)
    prompts["template"] = prompts["prompt_id"] % templates
    once = each_prompt_once(prompts, seed=seed, axis="a", n_blocks=n_blocks)
    order = once.merge(prompts, on="prompt_id")
    assert sorted(order["prompt_id"]) == list(prompts["prompt_id"])
    assert order["block"].between(0, n_blocks - 1).all()
    for cell, rows in order.groupby("cell"):
        left = [group for group, n in enumerate(descriptors) if n * templates > cell]
        assert sorted(rows["group"]) == left
        assert rows["template"].nunique() == rows["block"].nunique() == 1
    assert order["cell"].is_monotonic_increasing
    assert order.equals(
        each_prompt_once(prompts, seed=seed, axis="a", n_blocks=n_blocks).merge(prompts, on="prompt_id")
    )


@given(sizes, st.integers(1, 4), st.integers(0, 50), st.integers(1, 30))
def test_every_prompt_meets_every_block_once(descriptors, n_blocks, start, n):
    prompts = _prompts(descriptors, 2).assign(template=lambda frame: frame["prompt_id"] % 2)
    once = each_prompt_once(prompts, seed=0, axis="a", n_blocks=n_blocks)
    whole = in_passes(once, range(len(once) * n_blocks), n_blocks=n_blocks)
    assert sorted(zip(whole["prompt_id"], whole["block"], strict=True)) == [
        (prompt, block) for prompt in range(len(prompts)) for block in range(n_blocks)
    ]
    pd.testing.assert_frame_equal(whole.iloc[: len(once)], once)
    part = in_passes(once, range(start, min(start + n, len(whole))), n_blocks=n_blocks)
    pd.testing.assert_frame_equal(part, whole.iloc[start : start + n])
