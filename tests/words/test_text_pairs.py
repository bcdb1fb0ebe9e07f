"""Where two texts differ."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.words.text_pairs import changed_share, marked_words, matching

a_text = st.text("ab \n", max_size=30)


@pytest.mark.parametrize(
    ("before", "after", "marked"),
    [
        ("", "", ([], [])),
        (" is kind.", " is kind.", ([("is kind.", False)], [("is kind.", False)])),
        (
            "a b c d",
            "a x c",
            ([("a", False), ("b", True), ("c", False), ("d", True)], [("a", False), ("x", True), ("c", False)]),
        ),
        ("a", "a b", ([("a", False)], [("a", False), ("b", True)])),
    ],
)
def test_words_that_differ_are_marked(before, after, marked):
    assert marked_words(before, after) == marked


@given(a_text, a_text)
def test_marking_keeps_every_word_and_marks_none_of_equal_texts(one, other):
    for text, runs in zip((one, other), marked_words(one, other), strict=True):
        assert " ".join(words for words, _ in runs).split() == text.split()
    assert not any(differs for _, differs in marked_words(one, one)[0])


def test_search_is_literal_and_looks_in_every_column():
    frame = pd.DataFrame({"prompt": ["A (b)", "c", "d"], "continuation": ["x", "y(B)z", "(c)"]})
    assert matching(frame, ["prompt", "continuation"], "(b)").tolist() == [True, True, False]
    assert matching(frame, ["prompt"], "").all()


def test_the_share_of_changed_texts_counts_pairs():
    frame = pd.DataFrame({"continuation_before": list("aabb"), "continuation_after": list("aaba")})
    assert changed_share(frame) == 0.25
    assert changed_share(frame[:0]) != changed_share(frame[:0])
