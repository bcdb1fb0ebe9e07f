"""Orders and splits depend on names alone."""

from __future__ import annotations

import pandas as pd
from helpers.prompt_files import cell
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.data.splits import halves, split_prompts, stable_order


@given(st.sets(cell), cell)
def test_orders_and_halves_depend_on_names_alone(names, seed):
    order = stable_order(names, seed)
    assert set(order) == names
    assert order == stable_order(sorted(names, reverse=True), seed)
    splits = list(halves(names, seed).values())
    assert splits.count("valid") - splits.count("test") in (0, 1)


def test_an_order_is_fixed_for_ever():
    assert stable_order("abcdef", "seed") == ["c", "f", "d", "e", "b", "a"]


def test_a_group_is_split_by_descriptor_and_by_prompt_where_it_has_one():
    rows = [("x", "many", f"d{i // 2}", f"m{i}") for i in range(8)] + [("x", "one", "d", f"o{i}") for i in range(3)]
    frame = pd.DataFrame(rows, columns=["axis", "group", "descriptor", "prompt"])
    split = split_prompts(frame)
    many = split[frame["group"] == "many"].groupby(frame["descriptor"]).unique()
    assert all(len(splits) == 1 for splits in many)
    assert sorted(splits[0] for splits in many) == ["test", "test", "valid", "valid"]
    assert sorted(split[frame["group"] == "one"]) == ["test", "valid", "valid"]
