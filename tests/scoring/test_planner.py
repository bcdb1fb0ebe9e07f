"""The planner against numbers worked by hand and against brute force over synthetic decisions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from fasp_core.scoring.planner import Ranking, best_step, cut_value

NAN = np.nan


def ranking(z, gradient_se, correction_se=None, n=100, m=0, cut=0.0):
    z = np.array(z, float)
    correction = np.full(z.size, NAN) if correction_se is None else np.array(correction_se, float)
    return Ranking(z, np.array(gradient_se, float), correction, n, np.full(z.size, m), np.ones(z.size, bool), cut)


def test_cut_lies_between_taken_and_left():
    z = np.array([5.0, 1.0, 4.0, 2.0])
    everyone = np.ones(4, bool)
    assert cut_value(z, everyone, 2) == 3.0
    assert cut_value(z, np.array([False, True, True, True]), 1) == 3.0
    assert cut_value(z, everyone, 0) == np.inf
    assert cut_value(z, everyone, 4) == -np.inf


def test_expected_wrong_by_hand():
    # One head exactly on the cut: a coin toss. One 2 standard errors off: Φ(−2). The correction is known (0 error).
    r = ranking([0.0, 2.0], [1.0, 1.0], correction_se=[0.0, 0.0], m=10)
    assert r.expected_wrong() == pytest.approx(0.5 + norm.cdf(-2))


def test_variances_fall_as_samples_grow():
    r = ranking([1.0], [1.0], correction_se=[0.5], n=100, m=10)
    assert r.variance()[0] == pytest.approx(1.25)
    assert r.variance(more_n=300)[0] == pytest.approx(0.25 + 0.25)
    assert r.variance(more_m=30)[0] == pytest.approx(1.0 + 0.0625)


def test_heads_far_from_the_cut_get_nothing():
    r = ranking([0.1, 50.0, -50.0], [1.0, 1.0, 1.0], correction_se=[1.0] * 3, m=10)
    step = best_step("x", r, gradient_units=1, gradient_seconds=1e9, knockout_units=8, knockout_seconds_per_head=1)
    assert step.heads == (0,)


def test_the_larger_error_is_worked_on():
    costs = {"gradient_units": 100, "gradient_seconds": 10.0, "knockout_units": 10, "knockout_seconds_per_head": 5.0}
    noisy_gradient = ranking([0.5, -0.5], [1.0, 1.0], correction_se=[0.01, 0.01], m=10)
    noisy_correction = ranking([0.5, -0.5], [0.01, 0.01], correction_se=[1.0, 1.0], m=10)
    assert best_step("x", noisy_gradient, **costs).heads == ()
    assert best_step("x", noisy_correction, **costs).heads == (0, 1)


def test_protected_heads_take_no_part():
    r = ranking([0.1, 0.1], [1.0, 1.0], correction_se=[1.0, 1.0], m=10)
    r = replace(r, candidates=np.array([True, False]))
    assert list(r.uncertain()) == [0]


def test_following_the_plan_beats_spreading_evenly():
    """Simulated: true scores, noisy measurements, one budget; the planned run gets more heads on the right side."""
    rng = np.random.default_rng(0)
    heads, budget = 60, 600
    wrong = {"planned": 0, "even": 0}
    for _ in range(30):
        truth = rng.normal(0, 1, heads)
        cut = np.sort(truth)[-7] + 1e-9
        for way in wrong:
            sums, m = rng.normal(truth, 1.0), np.ones(heads)
            for _ in range(budget // 10):
                z = sums / m
                r = Ranking(z, np.zeros(heads), 1 / np.sqrt(m), 1, m, np.ones(heads, bool), cut)
                planned = np.argsort(-r.wrong(r.variance()), kind="stable")[:10]
                chosen = planned if way == "planned" else rng.permutation(heads)[:10]
                sums[chosen] += rng.normal(truth[chosen], 1.0)
                m[chosen] += 1
            wrong[way] += ((sums / m > cut) != (truth > cut)).sum()
    assert wrong["planned"] < wrong["even"]
