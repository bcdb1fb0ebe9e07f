"""Sample sizes and verdicts: what the formula promises is what simulated studies give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.skewed_toxicity import prompt_sums, text_variances

from fasp_core.stats.noise_floor import group_gaps
from fasp_core.stats.omnibus import Omnibus, even_gaps, omnibus_test
from fasp_core.stats.sample_size import (
    CLEAR,
    NONE,
    NOT_YET,
    expected_gaps,
    fewest_prompts,
    power,
    smallest_bias,
    times_needed,
    verdict,
)

SIX = np.full(6, 1 / 6)
CENTRING = SIX[None, :] - np.eye(6)


def known(means, *, prompts=60, draws=4, alike=0.02):
    """The omnibus of a study whose noise is known, not estimated, and whose gaps are the true ones."""
    within, between = np.array([text_variances(m, alike) for m in means]).T
    within, between = within / (prompts * draws), between / prompts
    alike_groups = np.sqrt((within + between).mean()) * np.random.default_rng(0).normal(size=(20_000, 6))
    return Omnibus(
        np.asarray(means),
        SIX,
        np.abs(group_gaps(alike_groups, SIX)).sum(-1),
        (CENTRING * within) @ CENTRING.T,
        (CENTRING * between) @ CENTRING.T,
        prompts * draws * 6,
        prompts * 6,
    )


def share_clear(means, *, prompts, draws, alike=0.02, studies=500):
    rng = np.random.default_rng(1)
    sizes, sums, _, group = prompt_sums(rng, means=means, prompts=prompts, draws=draws, alike=alike, studies=studies)
    rows = enumerate(zip(sizes, sums, strict=True))
    return np.mean([omnibus_test(n, f, group, SIX, permutations=199, seed=i).p_value <= 0.05 for i, (n, f) in rows])


@pytest.mark.parametrize(
    "means",
    [
        [0.07, 0.07, 0.07, 0.07, 0.07, 0.1],
        [0.065, 0.085, 0.065, 0.085, 0.065, 0.085],
        [0.065, 0.07, 0.075, 0.08, 0.085, 0.09],
    ],
)
def test_as_many_texts_as_the_formula_says_are_clear_in_80_of_100_studies(means):
    test = known(means)
    times = times_needed(test, test.gaps)
    assert 2 < times < 12  # a study of 60 prompts a group and 4 texts each is too small
    assert power(test, test.gaps, times=times) == pytest.approx(0.8, abs=0.01)
    draws = round(4 * times)
    assert share_clear(means, prompts=60, draws=draws) == pytest.approx(0.8, abs=0.05)


def test_as_many_prompts_as_the_formula_says_are_clear_in_80_of_100_studies():
    means = [0.07, 0.07, 0.07, 0.07, 0.07, 0.1]
    test = known(means, alike=0.3)
    times = times_needed(test, test.gaps, prompts=True)
    assert share_clear(means, prompts=round(60 * times), draws=4, alike=0.3) == pytest.approx(0.8, abs=0.05)


def test_more_texts_of_the_same_prompts_do_not_help_for_ever():
    test = known([0.07, 0.07, 0.07, 0.07, 0.07, 0.1], alike=0.6)
    assert times_needed(test, test.gaps) is None
    assert times_needed(test, test.gaps, prompts=True) > 5
    assert share_clear([0.07] * 5 + [0.1], prompts=60, draws=2000, alike=0.6, studies=200) < 0.75


def test_the_smallest_bias_is_found_in_80_of_100_studies_and_falls_with_more_texts():
    test = known([0.075] * 6)
    bias = smallest_bias(test)
    means = 0.075 + even_gaps(SIX, bias)
    assert np.abs(group_gaps(means, SIX)).sum() == pytest.approx(bias)
    assert share_clear(means, prompts=60, draws=4) == pytest.approx(0.8, abs=0.06)
    assert smallest_bias(test, times=4, prompts=True) == pytest.approx(bias / 2, rel=0.02)
    assert smallest_bias(test, times=4) > bias / 2


def test_an_even_pattern_is_the_hardest_of_its_size():
    test = known([0.075] * 6)
    bias = smallest_bias(test)
    for pattern in ([-1, -1, -1, -1, -1, 5], [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]):
        gaps = np.array(pattern) * bias / np.abs(pattern).sum()
        assert power(test, gaps) > 0.8


def test_verdicts():
    rng = np.random.default_rng(2)

    def judged(means, draws, **options):
        sizes, sums, squares, group = prompt_sums(rng, means=means, prompts=60, draws=draws)
        test = omnibus_test(sizes, sums, group, SIX, squares=squares)
        return verdict(test, matters=0.03, **options), test

    found, test = judged([0.07] * 5 + [0.13], 20)
    assert (found.state, found.more_texts) == (CLEAR, None)
    assert verdict(test, matters=0.03, p_value=0.2).state == NOT_YET  # after Holm
    found, _ = judged([0.07] * 6, 200)
    assert found.state == NONE
    found, test = judged([0.07] * 6, 2)
    assert found.state == NOT_YET
    gaps = expected_gaps(test, at_least=0.03)
    assert np.abs(gaps).sum() == pytest.approx(max(0.03, test.corrected))
    times = 1 + found.more_texts / test.n_texts
    assert power(test, gaps, times=times) == pytest.approx(0.8, abs=0.01)
    assert found.more_prompts > 0


def test_where_the_noise_is_not_known_nothing_is_promised():
    test = omnibus_test(np.ones(5), np.array([0.1, 0.2, 0.3, 0.2, 0.9]), np.array([0, 0, 1, 1, 2]), np.full(3, 1 / 3))
    found = verdict(test, matters=0.01)
    assert (found.state, found.more_texts, found.more_prompts) == (NOT_YET, None, None)
    assert np.isnan(smallest_bias(test))


def test_values_that_differ_by_rounding_alone_have_no_noise():
    test = omnibus_test(np.full(12, 3.0), np.repeat(0.1 + 0.1 + 0.1, 12), np.repeat([0, 1], 6), np.full(2, 0.5))
    rounding = replace(test, within=np.full((2, 2), -2e-36) + 4e-36 * np.eye(2))
    assert smallest_bias(test) == smallest_bias(rounding) == 0


def test_a_bias_far_above_the_noise_has_a_smallest_one_too():
    """Labels dealt anew then move whole groups: what is clear is far above the noise of the gaps."""
    group, f = np.repeat([0, 1], 6), np.repeat([0.1, 0.9], 6) + np.tile([-0.0001, 0.0001], 6)
    test = omnibus_test(np.ones(12), f, group, np.full(2, 0.5))
    assert test.critical(0.05) > 20 * np.sqrt(np.trace(test.covariance))
    bias = smallest_bias(test)
    assert power(test, even_gaps(test.shares, bias)) == pytest.approx(0.8, abs=0.02)


def test_with_two_groups_of_two_prompts_no_number_of_texts_makes_a_bias_clear():
    """Their labels can be dealt in 6 ways, of which 2 give the largest bias: p is never below 1/3."""
    test = omnibus_test(np.full(4, 50.0), np.array([5.0, 5.1, 20.0, 20.1]), np.array([0, 0, 1, 1]), np.full(2, 0.5))
    assert test.least_p == pytest.approx(1 / 3, abs=0.03)
    assert test.p_value == test.least_p
    found = verdict(test, matters=0.02)
    assert (found.state, found.more_texts, found.more_prompts) == (NOT_YET, None, 4)  # 2 · 4!² / 8! = 0.029


def test_the_fewest_prompts_by_hand():
    assert fewest_prompts(2, 0.05) == 4  # 3 of each: 2 · 3!² / 6! = 0.1
    assert fewest_prompts(3, 0.05) == 3  # 2 of each: 3! · 2!³ / 6! = 0.067; 3 of each: 3! · 3!³ / 9! = 0.0036
