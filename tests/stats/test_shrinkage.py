"""Posterior means against the formula of a normal prior, and rules that hold for any scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.stats.shrinkage import posterior_mean


def test_posterior_mean_of_a_normal_prior_by_its_formula():
    """Many scores from N(0, 2²) with error 1: E[true | z] = z · 4 / 5; the fitted mixture comes close to it."""
    rng = np.random.default_rng(1)
    z = rng.normal(0, 2, 4000) + rng.normal(0, 1, 4000)
    inside = np.abs(z) < 4
    assert posterior_mean(z, np.ones(4000))[inside] == pytest.approx(0.8 * z[inside], abs=0.25)


@given(st.lists(st.tuples(st.floats(-50, 50), st.sampled_from([0.0, 1e-9, 0.3, 7.0])), min_size=1, max_size=20))
def test_a_posterior_mean_lies_between_0_and_the_score(pairs):
    z, se = np.array(pairs).T
    shrunken = posterior_mean(z, se)
    assert np.isfinite(shrunken).all()
    assert ((shrunken * z >= 0) & (np.abs(shrunken) <= np.abs(z) * (1 + 1e-12))).all()


def test_scores_without_errors_stay_as_they_are():
    z = np.array([3.0, -1.0, 0.0])
    assert posterior_mean(z, np.zeros(3)).tolist() == z.tolist()
    huge = np.array([1e200, -1e200, 1.0])  # their squares overflow
    assert posterior_mean(huge, np.ones(3))[:2].tolist() == huge[:2].tolist()


def test_of_two_equal_scores_the_worse_measured_is_pulled_further():
    rng = np.random.default_rng(2)
    z, se = rng.normal(0, 2, 500), np.where(np.arange(500) % 2, 0.2, 2.0)
    z[:2] = 3.0
    shrunken = posterior_mean(z, se)
    assert 0 < shrunken[0] < 0.8 * shrunken[1] < 3.0


def test_the_prior_may_be_learned_from_some_heads_only():
    """Heads 0–299 have no true differences; learned from them alone, the high scores of the others count as luck."""
    rng = np.random.default_rng(3)
    z = np.concatenate([rng.normal(0, 1, 300), rng.normal(0, 5, 300)])
    quiet = np.arange(600) < 300
    all_heads, few = posterior_mean(z, np.ones(600)), posterior_mean(z, np.ones(600), fit_on=quiet)
    assert np.abs(few[300:]).mean() < 0.5 * np.abs(all_heads[300:]).mean()
