"""Where two texts part."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.text_pairs import TextPair, align, changed_share, matching

a_text = st.text("ab \n", max_size=30)


@pytest.mark.parametrize(
    ("before", "after", "pair"),
    [
        (" is kind.", " is kind.", TextPair(" is kind.", "", "")),
        (" is kind.", " is cruel.", TextPair(" is", " kind.", " cruel.")),
        (" was", " was late", TextPair(" was", "", " late")),
        (" hello", " help", TextPair("", " hello", " help")),  # never inside a word
        ("", " so", TextPair("", "", " so")),
    ],
)
def test_texts_are_cut_at_their_first_differing_word(before, after, pair):
    assert align(before, after) == pair


@given(a_text, a_text, a_text)
def test_nothing_is_lost_and_what_differs_starts_differently(shared, one, other):
    pair = align(shared + one, shared + other)
    assert (pair.shared + pair.before, pair.shared + pair.after) == (shared + one, shared + other)
    assert pair.same == (one == other)
    if pair.before and pair.after:
        assert pair.before.split(" ")[:2] != pair.after.split(" ")[:2] or pair.before.split() != pair.after.split()


def test_search_is_literal_and_looks_in_every_column():
    frame = pd.DataFrame({"prompt": ["A (b)", "c", "d"], "continuation": ["x", "y(B)z", "(c)"]})
    assert matching(frame, ["prompt", "continuation"], "(b)").tolist() == [True, True, False]
    assert matching(frame, ["prompt"], "").all()


def test_the_share_of_changed_texts_counts_pairs():
    frame = pd.DataFrame({"continuation_before": list("aabb"), "continuation_after": list("aaba")})
    assert changed_share(frame) == 0.25
    assert changed_share(frame[:0]) != changed_share(frame[:0])
