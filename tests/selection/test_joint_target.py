"""What a set is expected to leave, against simulation and integration, and what measured numbers become."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import norm

from benchmarks.joint import target_of_means
from fasp_core.selection.joint_target import Target, bias_target
from fasp_core.stats.bias import axis_bias
from fasp_core.stats.shrinkage import SPREADS, posterior_moments

SHARES = np.array([0.5, 0.3, 0.2])


def test_what_is_left_is_the_mean_of_simulated_biases():
    rng = np.random.default_rng(0)
    target = Target(rng.normal(size=3), rng.random(3), rng.normal(size=(4, 3)), rng.random((4, 3)))
    heads = np.array([0, 2])
    mean = target.value + target.effect[heads].sum(0)
    spread = np.sqrt(target.variance + target.effect_variance[heads].sum(0))
    drawn = np.abs(mean + spread * rng.normal(size=(400_000, 3))).sum(1)
    assert target.left(heads) == pytest.approx(drawn.mean(), abs=5 * drawn.std() / np.sqrt(drawn.size))


def test_without_errors_it_is_the_bias():
    rng = np.random.default_rng(1)
    means, effects = rng.random(3), rng.normal(size=(5, 3))
    target = target_of_means(means, np.zeros(3), effects, np.zeros((5, 3)), SHARES, np.ones(5, bool))
    for heads in ([], [3], [0, 1, 4]):
        expected = axis_bias(means + effects[heads].sum(0), SHARES)
        assert target.left(np.array(heads, int)) == pytest.approx(expected)


def test_gaps_are_shrunk_by_what_their_errors_leave():
    """Gaps ±1 with error 0.6: the prior variance is 1 − 0.36, so 0.64 of them stays."""
    none = np.zeros((3, 2))
    target = bias_target(np.array([1.0, -1.0]), np.full(2, 0.6), none, none, np.ones(3, bool))
    np.testing.assert_allclose(target.value, [0.64, -0.64])
    np.testing.assert_allclose(target.variance, [0.64 * 0.36] * 2)


def test_posterior_moments_are_those_of_the_density():
    """By integration over the true score, with the fitted shares found again from many scores of one kind."""
    rng = np.random.default_rng(4)
    z, se = np.concatenate([rng.normal(0, 1.5, 400), np.zeros(400)]), np.ones(800)
    z += rng.normal(size=800)
    mean, variance = posterior_moments(z, se)
    shares = np.full(len(SPREADS), 1 / len(SPREADS))
    density = norm.pdf(z[:, None], 0, np.sqrt(SPREADS**2 + 1))
    for _ in range(100):
        parts = shares * density
        shares = (parts / parts.sum(1, keepdims=True)).mean(0)
    grid = np.linspace(-40, 40, 80_001)
    prior = (shares[1:] * norm.pdf(grid[:, None], 0, SPREADS[1:])).sum(1)
    for i in (0, 10, 500):
        like = norm.pdf(z[i], grid, 1)
        at_zero = shares[0] * norm.pdf(z[i])
        whole = trapezoid(prior * like, grid) + at_zero
        first, second = (trapezoid(grid**k * prior * like, grid) / whole for k in (1, 2))
        assert mean[i] == pytest.approx(first, rel=1e-3)
        assert variance[i] == pytest.approx(second - first**2, rel=1e-3)


def test_a_head_without_a_number_changes_nothing_for_the_others():
    rng = np.random.default_rng(5)
    gaps, effects, errors = np.array([1.0, -1.0]), rng.normal(size=(20, 2)), rng.random((20, 2))
    free = np.arange(20) > 0
    expected = bias_target(gaps, np.zeros(2), effects, errors, free)
    effects[0], errors[0] = np.nan, np.nan
    target = bias_target(gaps, np.zeros(2), effects, errors, free)
    np.testing.assert_array_equal(target.effect, expected.effect)
    np.testing.assert_array_equal(target.effect_variance, expected.effect_variance)
    assert not target.effect[0].any()
