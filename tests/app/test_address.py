"""The view as an address: read back as it was written, whatever an address holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.address import PARTS, read_view, write_view

DEFAULTS = read_view({})
a_name = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1)
a_head = st.tuples(st.integers(0, 99), st.integers(0, 99))
a_share = st.integers(0, 100).map(lambda percent: percent / 100)
VALUES = {"study": a_name, "axis": a_name, "gamma": a_share, "alpha": a_share, "head": a_head}


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_an_address_is_read_back_as_it_was_written_and_holds_only_what_was_chosen(chosen):
    view = {**DEFAULTS, **chosen}
    assert read_view(write_view(view)) == view
    assert set(write_view(view)) == {name for name, value in view.items() if value != DEFAULTS[name]}


@pytest.mark.parametrize(
    "address",
    [
        {"gamma": "1.5"},
        {"alpha": "nan"},
        {"alpha": "x"},
        {"head": "3"},
        {"head": "a.b"},
        {"head": "-1.2"},
        {"metric": "fame"},
        {"other": "1"},
    ],
)
def test_what_cannot_be_read_from_an_address_is_at_its_default(address):
    assert read_view(address) == DEFAULTS


def test_every_part_of_the_view_says_how_it_is_read_and_written():
    for part in PARTS.values():
        assert part.default is None or part.read(part.write(part.default)) == part.default


def test_weights_of_axes_whose_names_have_a_hyphen_are_read_back():
    weights = (("non-binary", 1.0), ("religion", 0.5), ("age", 1e-07))
    assert read_view(write_view({**read_view({}), "weights": weights}))["weights"] == weights
