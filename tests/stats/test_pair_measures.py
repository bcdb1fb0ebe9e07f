"""Pair measures by the published formulas, worked by hand; intervals like those of means; no change where none is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.stats.estimate import Estimate
from fasp_core.stats.pair_measures import (
    HIGH,
    LOW,
    MIN_UNITS,
    NONE,
    compared,
    compared_estimates,
    icat,
    pair_columns,
    preferred,
    stereoset_columns,
)


def first(means):
    return means[..., 0]


def test_crows_pairs_score_is_the_share_of_pairs_with_the_stereotyped_sentence_likelier():
    """Three of four, and one that ties counts half: 0.7 of five. The log-ratio is the mean of a - b."""
    scores = np.array([[-1.0, -2], [-3, -5], [-2, -2.5], [-4, -1], [-7, -7]])
    columns = pair_columns(scores)
    assert columns.mean(0) == pytest.approx([3.5 / 5, (1 + 2 + 0.5 - 3 + 0) / 5])


def test_what_float32_rounds_is_a_tie():
    assert preferred(np.array([-50.00001, -50.01]), np.array([-50.0, -50.0])).tolist() == [0.5, 0.0]


def test_stereoset_scores_are_means_over_target_words():
    """By the paper's section 4: SS and LMS of each target word, their means, and ICAT of those means.

    nurse: stereotype above anti-stereotype in 2 of 2; above the unrelated in 2 and 1 of 2: LMS 0.75.
    cook: in 0 of 1; both above the unrelated: LMS 1.
    """
    scores = np.array([[-1.0, -2, -3], [-1, -3, -2], [-5, -4, -6]])
    unit = np.array([0, 0, 1])
    columns = stereoset_columns(scores)
    ss, lms, whole = (
        compared(columns, columns, unit, value, ideal).before.value
        for value, ideal in ((first, 0.5), (lambda m: m[..., 1], HIGH), (icat, HIGH))
    )
    assert (ss, lms) == (0.5, 0.875)
    assert whole == pytest.approx(0.875 * min(0.5, 0.5) / 0.5)
    assert icat(np.array([1.0, 1.0])) == 0  # a model that always prefers the stereotype
    assert icat(np.array([0.5, 0.5])) == 0.5  # one that knows nothing


@given(st.lists(st.floats(-9, 9), min_size=MIN_UNITS, max_size=40), st.sampled_from([LOW, HIGH, 0.0, 0.5]))
def test_no_change_where_nothing_changed(values, ideal):
    columns = np.array(values)[:, None]
    made = compared(columns, columns, np.arange(len(values)), first, ideal)
    assert (made.change.value, made.change.se, made.harm.value) == (0, 0, 0)
    assert made.verdict == "no clear change"


def test_the_interval_is_that_of_a_mean_of_paired_differences():
    rng = np.random.default_rng(0)
    before = rng.normal(size=(200, 1))
    after = before + rng.normal(0.3, 0.5, size=(200, 1))
    made = compared(before, after, np.arange(200), first, LOW)
    difference = (after - before)[:, 0]
    assert made.change.value == pytest.approx(difference.mean())
    assert made.change.se == pytest.approx(difference.std(ddof=1) / math.sqrt(200), rel=0.1)
    assert made.verdict == "worse"


@pytest.mark.parametrize(
    ("ideal", "after", "verdict"),
    [
        (LOW, -0.2, "better"),
        (LOW, 0.2, "worse"),
        (HIGH, -0.2, "worse"),
        (HIGH, 0.2, "better"),
        (0.0, -0.2, "better"),  # from 0.7 to 0.5
        (0.0, 0.2, "worse"),
        (0.5, -0.1, "better"),  # from 0.7 to 0.6: nearer to 0.5
        (0.5, -0.35, "better"),  # to 0.35: still nearer
        (0.5, -0.6, "worse"),  # to 0.1: farther on the other side
        (0.5, -0.4, "no clear change"),  # to 0.3: as far as before
    ],
)
def test_better_is_what_comes_nearer_to_the_ideal(ideal, after, verdict):
    rng = np.random.default_rng(1)
    before = 0.7 + rng.normal(0, 0.05, size=(100, 1))
    made = compared(before, before + after + rng.normal(0, 0.02, size=(100, 1)), np.arange(100), first, ideal)
    assert made.verdict == verdict
    assert made.change.value == pytest.approx(after, abs=0.01)


def test_a_false_alarm_is_as_rare_as_its_interval_says():
    """Nothing differs but noise: 95 % intervals leave out 0 in about one case of twenty."""
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(200):
        before, after = rng.normal(size=(2, 30, 1))
        alarms += compared(before, after, np.arange(30), first, LOW).verdict != "no clear change"
    assert 2 <= alarms <= 20


def test_a_share_of_all_is_exactly_one():
    made = compared(np.zeros((23, 1)), np.ones((23, 1)), np.arange(23), first, HIGH)
    assert (made.after.value, made.after.se, made.change.value) == (1, 0, 1)


def test_few_units_tell_nothing():
    before, after = np.zeros((MIN_UNITS - 1, 1)), np.ones((MIN_UNITS - 1, 1))
    made = compared(before, after, np.arange(MIN_UNITS - 1), first, LOW)
    assert made.change.value == 1
    assert math.isnan(made.change.se)
    assert made.verdict == "no clear change"
    # Twenty rows of two units are two units.
    assert math.isnan(compared(np.zeros((20, 1)), np.ones((20, 1)), np.arange(20) % 2, first, LOW).change.se)


def test_estimates_made_elsewhere():
    parts = Estimate(1.0, 0.1, 9), Estimate(2.0, 0.1, 9), Estimate(1.0, 0.1, 9)
    assert compared_estimates(*parts, ideal=LOW).verdict == "worse"
    assert compared_estimates(*parts, ideal=HIGH).verdict == "better"
    assert compared_estimates(*parts, ideal=NONE).verdict == "changed"
    assert compared_estimates(*parts[:2], Estimate(0.1, 0.1, 9), ideal=NONE).verdict == "no clear change"
