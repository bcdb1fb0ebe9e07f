"""Heads as flat ids, as text and by layer: each way back gives what was put in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.errors import InputError
from fasp_core.head import (
    all_heads,
    flat_id,
    head_of,
    head_text,
    heads_by_layer,
    heads_of_layers,
    heads_text,
    parse_head,
    parse_heads,
)

HEAD = st.tuples(st.integers(0, 200), st.integers(0, 200))
HEADS = st.lists(HEAD, max_size=30)


def test_flat_ids_by_hand():
    assert flat_id((2, 3), 9) == 21
    assert head_of(21, 9) == (2, 3)
    assert all_heads(2, 3) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


@given(st.integers(1, 200), st.integers(0, 10**6))
def test_a_flat_id_is_one_head(heads_per_layer, number):
    assert flat_id(head_of(number, heads_per_layer), heads_per_layer) == number


@given(st.integers(1, 20), st.integers(1, 20))
def test_all_heads_are_in_the_order_of_flat_ids(n_layers, heads_per_layer):
    ids = [flat_id(head, heads_per_layer) for head in all_heads(n_layers, heads_per_layer)]
    assert ids == list(range(n_layers * heads_per_layer))


@pytest.mark.parametrize("head", [(0, 9), (0, -1), (-1, 0)])
def test_a_head_of_no_layer_has_no_flat_id(head):
    with pytest.raises(InputError, match=r"does not exist: a layer has the heads 0…8"):
        flat_id(head, 9)


def test_text_by_hand():
    assert head_text((3, 5)) == "3.5"
    assert heads_text([(5, 1), (0, 3), (5, 1)]) == "0.3-5.1"
    assert heads_text([]) == ""
    assert parse_heads(" 5.1, 0.3,5.1,", ",") == ((0, 3), (5, 1))
    assert parse_heads("") == ()


@given(HEADS, st.sampled_from(["-", ","]))
def test_heads_are_read_as_they_were_written(heads, between):
    assert parse_heads(heads_text(heads, between), between) == tuple(sorted(set(heads)))


@given(HEAD)
def test_a_head_is_read_as_it_was_written(head):
    assert parse_head(head_text(head)) == head


@pytest.mark.parametrize("text", ["", "5", "5.1.2", "-1.0", "a.b", "1.²", "0.3-5.1", "1." + "9" * 5000, "1.1\n2.2"])
def test_a_text_that_names_no_head_is_refused(text):
    with pytest.raises(InputError, match=r"is no head; write layer\.head"):
        parse_head(text)


def test_one_wrong_part_of_a_set_is_named():
    with pytest.raises(InputError, match="'x' is no head"):
        parse_heads("0.3,x", ",")
    with pytest.raises(InputError):
        parse_heads("0.3-5.1", ",")  # looks like a range, which it is not


def test_layers_by_hand():
    assert heads_by_layer([(3, 5), (0, 2), (3, 0)]) == {0: [2], 3: [0, 5]}
    assert heads_of_layers({"3": [5, 0], "0": [2]}) == ((0, 2), (3, 0), (3, 5))


@given(HEADS)
def test_heads_by_layer_and_back(heads):
    assert heads_of_layers(heads_by_layer(heads)) == tuple(sorted(heads))
