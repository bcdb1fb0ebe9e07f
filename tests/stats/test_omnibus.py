"""The omnibus test: by hand, against every permutation, and its false alarms where there is no bias."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from helpers.skewed_toxicity import prompt_sums

from fasp_core.errors import InputError
from fasp_core.stats.bias import axis_bias
from fasp_core.stats.noise_floor import bias_floor, group_gaps
from fasp_core.stats.omnibus import (
    bias_interval,
    even_gaps,
    gap_covariance,
    holm,
    omnibus_test,
    permuted_biases,
)

SIX = np.full(6, 1 / 6)


def test_by_hand():
    """Two prompts a group, one text each. Of the 6 ways to deal, 2 give the bias seen (0.8), 4 give 0."""
    test = omnibus_test(np.ones(4), np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 0, 1, 1]), np.array([0.5, 0.5]))
    assert test.bias == pytest.approx(0.8)
    assert test.p_value == pytest.approx(1 / 3, abs=0.04)
    assert test.floor == pytest.approx(0.8 / 3, abs=0.04)
    assert (test.n_texts, test.n_prompts) == (4, 4)


def test_against_every_permutation_with_unequal_prompts_and_shares():
    rng = np.random.default_rng(0)
    sizes, group, shares = np.array([1, 2, 1, 3, 1, 2]), np.array([1, 0, 2, 0, 1, 2]), np.array([0.5, 0.3, 0.2])
    sums = rng.random(6) * sizes
    every = []
    for order in permutations(range(6)):
        order = list(order)
        means = [sums[order][group == g].sum() / sizes[order][group == g].sum() for g in range(3)]
        every.append(axis_bias(np.array(means), shares))
    test = omnibus_test(sizes, sums, group, shares, permutations=20_000)
    assert test.p_value == pytest.approx(np.mean(np.array(every) >= test.bias - 1e-12), abs=0.01)
    assert test.floor == pytest.approx(np.mean(every), rel=0.01)
    assert test.floor == pytest.approx(
        bias_floor(sizes, sums[:, None], group, shares, permutations=20_000)[0], rel=0.02
    )


def test_labels_are_dealt_within_blocks_only():
    """Each block holds both groups; the second block's values are 10 higher, which no deal within blocks can show."""
    sums, group = np.array([0.0, 0.2, 10.0, 10.4]), np.array([0, 1, 0, 1])
    found = permuted_biases(np.ones(4), sums, group, np.array([0.5, 0.5]), block=np.array([7, 7, 3, 3]))
    assert set(np.round(found, 9)) == {0.1, 0.3}  # |±0.2 ± 0.4| / 2
    test = omnibus_test(np.ones(4), sums, group, np.array([0.5, 0.5]), block=np.array([7, 7, 3, 3]))
    assert test.p_value == pytest.approx(0.5, abs=0.04)


def test_a_constant_scorer_has_no_bias():
    sizes = np.array([1, 2, 3, 1, 2, 3])
    test = omnibus_test(sizes, 0.1 * sizes, np.array([0, 0, 1, 1, 2, 2]), np.full(3, 1 / 3), squares=0.01 * sizes)
    assert test.bias == pytest.approx(0, abs=1e-15)
    assert test.p_value == 1.0
    assert test.interval == pytest.approx((0, 0), abs=1e-12)


def test_chunks_do_not_change_what_is_found(monkeypatch):
    rng = np.random.default_rng(3)
    args = (np.ones(30), rng.random(30), np.repeat([0, 1, 2], 10), np.full(3, 1 / 3))
    whole = permuted_biases(*args, permutations=50)
    assert whole.shape == (50,)
    assert (whole == permuted_biases(*args, permutations=50)).all()
    monkeypatch.setattr("fasp_core.stats.omnibus.CHUNK", 200)
    np.testing.assert_allclose(permuted_biases(*args, permutations=50), whole)


@pytest.mark.parametrize(("prompts", "draws", "alike"), [(20, 3, 0.02), (20, 10, 0.3)])
def test_false_alarms_are_5_in_100(prompts, draws, alike):
    """3,000 studies without a bias, with texts of a prompt alike: more studies than the 1,000 asked, for less luck."""
    rng = np.random.default_rng(4)
    sizes, sums, _, group = prompt_sums(rng, means=[0.07] * 6, prompts=prompts, draws=draws, alike=alike, studies=3000)
    alarms = [
        omnibus_test(n, f, group, SIX, permutations=199, seed=i).p_value <= 0.05
        for i, (n, f) in enumerate(zip(sizes, sums, strict=True))
    ]
    assert 0.04 <= np.mean(alarms) <= 0.06


def test_a_planted_bias_is_found():
    rng = np.random.default_rng(5)
    sizes, sums, squares, group = prompt_sums(rng, means=[0.07] * 5 + [0.14], prompts=60, draws=20)
    test = omnibus_test(sizes, sums, group, SIX, squares=squares)
    assert test.p_value < 0.005
    assert test.interval[0] > 0
    assert test.interval[0] < axis_bias(np.array([0.07] * 5 + [0.14]), SIX) < test.interval[1]


@pytest.mark.parametrize("size", [0.0, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("pattern", [[-1, -1, -1, -1, -1, 5], [1, -1, 1, -1, 1, -1], [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]])
def test_intervals_hold_the_true_bias(pattern, size):
    """True bias in units of what noise gives. The upper end allows for any pattern: intervals err on the large side."""
    rng = np.random.default_rng(6)
    pattern = np.array(pattern, float)
    variance = (0.9 - 0.04) ** 2 * 0.06 * 0.94
    floor = np.abs(group_gaps(rng.normal(size=(10_000, 6)) * np.sqrt(variance / 600), SIX)).sum(-1).mean()
    means = 0.0916 + pattern / np.abs(pattern).sum() * size * floor
    sizes, sums, _, group = prompt_sums(rng, means=means, prompts=60, draws=10, studies=400)
    held = []
    for n, f in zip(sizes, sums, strict=True):
        group_means = np.bincount(group, f) / np.bincount(group, n)
        low, high = bias_interval(group_gaps(group_means, SIX), gap_covariance(n, f, group, SIX), SIX)
        held.append(low <= size * floor <= high)
    assert 0.93 <= np.mean(held) <= (0.98 if size == 5 and pattern[0] == 1 else 1.0)


def test_the_covariance_of_gaps_by_hand():
    """Means of two texts each, variance v = 0.02 / 2; gaps are ± half the difference of the means."""
    sums, group = np.array([0.1, 0.3, 0.5, 0.7]), np.array([0, 0, 1, 1])
    v = 0.02 / 2
    found = gap_covariance(np.ones(4), sums, group, np.array([0.5, 0.5]))
    np.testing.assert_allclose(found, [[v / 2, -v / 2], [-v / 2, v / 2]])
    # Blocks that move both groups alike: the difference is 0.4 in both, so there is no noise in the gaps.
    np.testing.assert_allclose(
        gap_covariance(np.ones(4), sums, group, np.array([0.5, 0.5]), block=np.array([0, 1, 0, 1])), 0, atol=1e-15
    )


def test_the_covariance_is_that_of_repeated_studies():
    rng = np.random.default_rng(7)
    shares = np.array([0.5, 0.3, 0.2])
    sizes, sums, squares, group = prompt_sums(rng, means=[0.06, 0.1, 0.2], prompts=40, draws=8, alike=0.2, studies=2000)
    total = 40 * 8
    means = np.stack([sums[:, group == g].sum(1) / total for g in range(3)], axis=1)
    expected = np.cov(group_gaps(means, shares).T)
    rows = zip(sizes, sums, squares, strict=True)
    tests = [omnibus_test(*x, group, shares, squares=y, permutations=1) for *x, y in rows]
    np.testing.assert_allclose(np.mean([t.covariance for t in tests], axis=0), expected, rtol=0.15, atol=2e-6)
    # A fifth of the variance lies between prompts: it counts 8-fold against the rest, which counts once.
    share = np.trace(np.mean([t.between for t in tests], axis=0)) / np.trace(expected)
    assert share == pytest.approx(8 * 0.2 / (8 * 0.2 + 0.8), abs=0.05)


@pytest.mark.parametrize("shares", [np.full(2, 0.5), np.full(3, 1 / 3), np.array([0.7, 0.2, 0.05, 0.05])])
def test_even_gaps_are_gaps_of_that_size(shares):
    gaps = even_gaps(shares, 0.2)
    assert np.abs(gaps).sum() == pytest.approx(0.2)
    assert shares @ gaps == pytest.approx(0)


def test_what_blocks_share_is_no_noise():
    """Cells of one prompt of each group, as of log-odds: the difference of two groups has variance 2 σ² / cells."""
    rng, shares = np.random.default_rng(10), np.full(3, 1 / 3)
    group, block = np.tile([0, 1, 2], 20), np.repeat(np.arange(20), 3)
    values = rng.normal(size=(2000, 20)).repeat(3, axis=1) * 5 + rng.normal(size=(2000, 60)) * 0.3
    found = np.mean([gap_covariance(np.ones(60), v, group, shares, block=block) for v in values], axis=0)
    # Gaps of three means of variance v and covariance 0: 2/3 v on the diagonal, −1/3 v off it.
    v = 0.3**2 / 20
    np.testing.assert_allclose(found, v * (np.eye(3) - 1 / 3), rtol=0.03)


def test_noise_within_prompts_is_told_by_texts_of_the_same_prompt():
    """Two prompts a group, two texts each: 0 and 1, or 1 and 0 between prompts."""
    group, half = np.array([0, 0, 1, 1]), np.array([0.5, 0.5])
    inside = omnibus_test(np.full(4, 2), np.ones(4), group, half, squares=np.ones(4))
    assert not inside.covariance.any()  # all prompts have the same mean
    between = omnibus_test(np.full(4, 2), np.array([0.0, 2, 0, 2]), group, half, squares=np.array([0.0, 2, 0, 2]))
    assert not between.within.any()
    assert between.between[0, 0] == pytest.approx(0.25 / 2)  # each mean: variance 0.5 / 2; a gap: half of it
    single = omnibus_test(np.ones(4), np.array([0.0, 1, 0, 1]), group, half, squares=np.array([0.0, 1, 0, 1]))
    assert not single.between.any()
    assert single.within[0, 0] == pytest.approx(0.25 / 2)


def test_a_group_of_one_prompt_has_a_p_value_but_no_interval():
    test = omnibus_test(np.ones(5), np.array([0.1, 0.2, 0.3, 0.2, 0.9]), np.array([0, 0, 1, 1, 2]), np.full(3, 1 / 3))
    assert 0 < test.p_value <= 1
    assert np.isnan(test.interval).all()


def test_errors_say_what_to_do():
    with pytest.raises(InputError, match="of every group"):
        omnibus_test(np.ones(2), np.ones(2), np.array([0, 0]), np.array([0.5, 0.5]))
    with pytest.raises(InputError, match="at least two groups"):
        omnibus_test(np.ones(2), np.ones(2), np.array([0, 0]), np.array([1.0]))


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.6, 0.5])), [1.0, 1.0])
    assert holm(np.array([])).size == 0
