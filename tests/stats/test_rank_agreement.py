"""Planted agreement is found, noise reads as none, and the intervals hold what they should."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from fasp_core.stats.rank_agreement import MIN_THINGS, rank_agreement


def test_it_is_spearman_with_its_sign():
    rng = np.random.default_rng(0)
    a = rng.normal(size=50)
    values = np.stack([a, a**3, -a, a + rng.normal(size=50), np.round(a)], -1)
    found = rank_agreement(values)
    for i in range(5):
        for j in range(5):
            assert found.r[i, j] == pytest.approx(spearmanr(values[:, i], values[:, j]).statistic)
    assert (found.low[0, 1], found.high[0, 1], found.r[0, 2]) == pytest.approx((1, 1, -1))
    assert 0 < found.low[0, 3] < found.r[0, 3] < found.high[0, 3] < 1
    assert np.array_equal(found.r, found.r.T)


def test_planted_agreement_is_found_and_independent_noise_reads_about_zero():
    """True ρ of ranks is 0.48 where r is 0.5 (6/π asin(r/2)); of 60 sets each, 95 % intervals should miss 3."""
    rng = np.random.default_rng(1)
    holds, none = 0, 0
    for _ in range(60):
        shared, noise = rng.normal(size=(60, 1)), rng.normal(size=(60, 3))
        found = rank_agreement(np.concatenate([shared + noise[:, :2], noise[:, 2:]], axis=1))
        holds += found.low[0, 1] <= 6 / np.pi * np.arcsin(0.25) <= found.high[0, 1]
        none += found.low[0, 2] <= 0 <= found.high[0, 2]
        assert found.low[0, 1] > -0.1
    assert holds >= 52
    assert none >= 52


def test_pairs_with_too_few_things_or_a_constant_have_no_number():
    values = np.array([[1.0, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5], [1, 1, 1, 1, 1, 1], [1, 2, 3, 4, np.nan, np.nan]]).T
    found = rank_agreement(values)
    assert found.r[0, 1] == pytest.approx(1 - 6 * 6 / (6 * 35))
    assert np.isnan([found.r[0, 2], found.low[0, 2], found.r[0, 3], found.high[1, 3]]).all()
    assert found.n.tolist()[3] == [4, 4, 4, 4]
    assert MIN_THINGS == 5
    assert np.isnan(rank_agreement(np.zeros((0, 2))).r[0, 1])
