"""Repetition and distinct bigrams by hand."""

from __future__ import annotations

import math

import pytest

from fasp_core.stats.degeneration import distinct_bigrams, length, paired_means, repetition


def test_by_hand():
    assert repetition("To be or to be") == 0.25  # to-be, be-or, or-to, to-be
    assert repetition("a a a a") == pytest.approx(2 / 3)
    assert repetition("all words differ") == 0
    assert math.isnan(repetition("word"))
    assert distinct_bigrams(["a b c", "a b d"]) == 0.75  # a-b twice, b-c, b-d
    assert math.isnan(distinct_bigrams(["", "x"]))
    assert (length(" two  words\n"), length("")) == (2, 0)


def test_paired_means_by_hand():
    before, after, change = paired_means([0.1, 0.3, math.nan], [0.2, 0.6, 0.9])
    assert (before.value, after.value, change.value) == pytest.approx((0.2, 0.4, 0.2))
    assert change.se == pytest.approx(0.1)  # differences 0.1 and 0.3: standard deviation √0.02, over √2
    assert (change.n, change.df) == (2, 1)
    assert all(math.isnan(e.value) for e in paired_means([], []))
