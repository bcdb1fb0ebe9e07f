"""Resampling against hand-worked numbers, known sampling distributions and planted orders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import rankdata

from fasp_core.stats.resampling import (
    Replicates,
    average_ranks,
    bootstrap_counts,
    bootstrap_scale,
    half_counts,
    replicate_counts,
    spearman,
    split_half_reliability,
)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 5))
def test_every_stratum_keeps_its_size(strata, seed):
    strata = np.array(strata)
    counts = replicate_counts(strata, seed, 7)
    assert counts.shape == (8, strata.size)
    assert (counts[0] == 1).all()
    halves = half_counts(strata, 7, np.random.default_rng(seed))
    assert set(halves.ravel()) <= {0.0, 1.0}
    for stratum in np.unique(strata):
        inside = strata == stratum
        assert (counts[:, inside].sum(1) == inside.sum()).all()
        assert (np.abs(halves[:, inside].sum(1) - inside.sum() / 2) <= 0.5).all()


def test_the_odd_unit_of_a_stratum_falls_to_either_half():
    assert set(half_counts(np.zeros(3, int), 50, np.random.default_rng(0)).sum(1)) == {1, 2}


def test_a_seed_and_its_generator_draw_the_same():
    strata = np.array([0, 0, 0, 1, 1])
    again = bootstrap_counts(strata, 5, np.random.default_rng(3))
    assert (replicate_counts(strata, 3, 5)[1:] == again).all()
    assert (replicate_counts(strata, np.random.default_rng(3), 5)[1:] == again).all()


def test_the_bootstrap_with_its_scale_is_the_error_of_a_mean():
    """Of 4 units: the mean's standard error is sd / √4; resampling alone gives √(3/4) of it."""
    x = np.array([1.0, 2.0, 4.0, 9.0])
    draws = Replicates(replicate_counts(np.zeros(4, int), 0, 40_000))
    means = draws.counts @ x / 4
    exact = x.std(ddof=1) / 2
    assert draws.se(means) == pytest.approx(np.sqrt(3 / 4) * exact, rel=0.02)
    assert draws.se(means) * bootstrap_scale(4) == pytest.approx(exact, rel=0.02)


def test_the_scale_by_hand():
    np.testing.assert_allclose(bootstrap_scale(np.array([2, 5, 1])), [np.sqrt(2), np.sqrt(5 / 4), np.nan])


def test_rows_are_the_data_the_replicates_and_the_halves():
    resampled, halves = np.array([[2.0, 0], [1, 1], [0, 2]]), np.array([[1.0, 0], [0, 1]])
    draws = Replicates.of(resampled, halves)
    assert draws.counts.tolist() == [[1, 1], [2, 0], [1, 1], [0, 2], [1, 0], [0, 1], [0, 1], [1, 0]]
    values = draws.counts @ np.array([3.0, 5.0])
    assert draws.boot(values).tolist() == [6, 8, 10]
    assert draws.se(values) == pytest.approx(2)  # of 6, 8, 10


def test_an_error_leaves_out_replicates_without_a_number():
    draws = Replicates.of(np.ones((3, 1)), np.empty((0, 1)))
    assert draws.se(np.array([0.0, 1.0, np.nan, 3.0])) == pytest.approx(np.sqrt(2))
    assert np.isnan(draws.reliability(np.zeros((4, 5))))


def test_reliability_finds_a_planted_order_and_is_near_zero_without_one():
    """200 units that each tell the order of 30 heads with noise: halves of 100 tell it with error 1 / √100."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(200, 30))
    for truth, low, high in ((np.arange(30.0), 0.999, 1), (0.1 * rng.normal(size=30), 0.4, 0.85), (0.0, -0.35, 0.35)):
        draws = Replicates.of(np.ones((2, 200)), half_counts(np.zeros(200, int), 40, rng))
        values = draws.counts @ (truth + noise) / draws.counts.sum(1, keepdims=True)
        assert low <= draws.reliability(values) <= high


def test_reliability_by_hand():
    # Orders 1 2 3 4 and 1 2 4 3 have ρ = 1 − 6 · 2 / (4 · 15) = 0.8, corrected 1.6 / 1.8; opposite ones stay −1.
    first, second = np.array([[1.0, 2, 3, 4]]), np.array([[1.0, 2, 4, 3]])
    assert split_half_reliability(first, second) == pytest.approx(1.6 / 1.8)
    assert split_half_reliability(first, -first) == pytest.approx(-1)


def test_spearman_with_ties_by_hand():
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / √(4.5 · 5)
    assert spearman(np.array([1, 2, 2, 9.0]), np.array([1, 2, 3, 4.0])) == pytest.approx(4.5 / np.sqrt(22.5))


def test_spearman_needs_three_numbers_that_differ():
    assert np.isnan(spearman(np.array([1.0, 2, np.nan]), np.array([1.0, 2, 3])))
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))
    assert spearman(np.array([1.0, 2, 3, np.inf]), np.array([4.0, 5, 6, 0])) == pytest.approx(1)


@given(arrays(float, array_shapes(max_dims=3, max_side=6), elements=st.integers(-3, 3) | st.floats(-1e6, 1e6)))
def test_equal_values_share_their_mean_rank(values):
    assert average_ranks(np.array([5.0, 7, 5])).tolist() == [1.5, 3, 1.5]
    assert np.array_equal(average_ranks(values), rankdata(values, axis=-1))
