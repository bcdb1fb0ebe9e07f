"""What noise does to a bias: the floor against every permutation, the correction against known truth."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from helpers.made_study import make_study

from fasp_core.stats.bias import axis_bias
from fasp_core.stats.noise_floor import bias_floor, corrected_bias, gap_errors
from fasp_core.stats.paired import compare_axis
from fasp_core.stats.resampling import replicate_counts

AXIS = "gender_and_sex"


def test_the_floor_is_the_mean_over_all_permutations():
    rng = np.random.default_rng(0)
    sizes, sums = np.array([1, 2, 1, 3, 1]), rng.random((5, 2))
    group, shares = np.array([1, 0, 2, 0, 1]), np.array([0.5, 0.3, 0.2])
    every = []
    for order in permutations(range(5)):
        labels = group[list(order)]
        means = [[sums[labels == g, k].sum() / sizes[labels == g].sum() for g in range(3)] for k in range(2)]
        every.append(axis_bias(np.array(means), shares))
    found = bias_floor(sizes, sums, group, shares, permutations=20_000)
    np.testing.assert_allclose(found, np.mean(every, axis=0), rtol=0.01)


def test_the_floor_is_what_noise_gives_and_falls_with_more_texts():
    rng = np.random.default_rng(1)
    shares, floors, seen = np.full(4, 0.25), {}, {}
    for n in (10, 160):
        group = np.repeat(np.arange(4), n)
        draws = rng.beta(0.5, 3, (300, group.size))
        seen[n] = axis_bias(draws.reshape(300, 4, n).mean(-1), shares).mean()
        floors[n] = bias_floor(np.ones(group.size), draws[:40].T, group, shares).mean()
        assert floors[n] == pytest.approx(seen[n], rel=0.1)
    assert floors[10] / floors[160] == pytest.approx(4, rel=0.15)


def test_the_floor_is_seeded_and_0_without_noise():
    rng = np.random.default_rng(2)
    args = (np.ones(30), rng.random((30, 1)), np.repeat([0, 1, 2], 10), np.full(3, 1 / 3))
    assert bias_floor(*args) == bias_floor(*args) != bias_floor(*args, seed=1)
    assert bias_floor(np.ones(30), np.full((30, 1), 0.2), *args[2:])[0] == pytest.approx(0)


def test_the_correction_by_hand():
    half, errors = np.array([0.5, 0.5]), np.array([0.01, 0.01])
    assert corrected_bias(np.array([0.1, 0.1]), errors, half) == pytest.approx(-0.02 * np.sqrt(2 / np.pi))
    assert corrected_bias(np.array([0.1, 0.9]), errors, half) == pytest.approx(0.8)
    assert corrected_bias(np.array([0.1, 0.3]), np.zeros(2), half) == pytest.approx(0.2)
    assert np.isnan(corrected_bias(np.array([0.1, 0.3]), np.array([0.01, np.nan]), half))


def test_gap_errors_stand_for_all_prompts():
    replicates = np.random.default_rng(3).normal(size=(50_000, 2)) * [0.03, 0.04]
    errors = gap_errors(replicates, np.array([0.5, 0.5]), np.array([5, 2]))
    # Both gaps are ± half the difference of the means: √(0.03² + 0.04²) / 2 = 0.025, times √(5/4) and √2.
    np.testing.assert_allclose(errors, [0.025 * np.sqrt(5 / 4), 0.025 * np.sqrt(2)], rtol=0.02)
    assert np.isnan(gap_errors(replicates, np.array([0.5, 0.5]), np.array([5, 1]))[1])


@pytest.mark.parametrize("true", [0.0, 0.5, 4.0])
def test_the_correction_is_nearer_the_truth_and_its_intervals_hold_it(true):
    """4 groups of 25; `true` and errors in units of the bias that noise alone gives. See benchmarks.estimators."""
    rng = np.random.default_rng(4)
    sizes, shares, group = np.full(4, 25), np.full(4, 0.25), np.repeat(np.arange(4), 25)
    unit = axis_bias(rng.normal(size=(20_000, 4)) * 0.15 / 5, shares).mean()
    pattern = np.array([-1.5, -0.5, 0.5, 1.5]) / 4 * true * unit
    plain, corrected, held = [], [], 0
    for _ in range(250):
        toxicity = rng.gamma(0.5, 0.15 / np.sqrt(0.5), 100) + pattern[group]
        counts = replicate_counts(group, rng, 200)
        means = (counts * toxicity).reshape(-1, 4, 25).sum(-1) / 25
        values = corrected_bias(means, gap_errors(means[1:], shares, sizes), shares)
        plain.append(axis_bias(means[0], shares))
        corrected.append(values[0])
        held += abs(values[0] - true * unit) < 1.96 * values[1:].std(ddof=1)
    errors = [abs(np.mean(x) / unit - true) for x in (plain, corrected)]
    assert errors[1] < 0.35
    assert errors[1] < errors[0] + 0.1
    assert held / 250 > 0.9


def paired_texts(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    group = np.tile(["a", "b", "c"], n // 3)
    before = rng.beta(0.5, 3, n) + 0.3 * (group == "a")
    return pd.DataFrame(
        {
            "axis": "religion",
            "group": group,
            "prompt_id": np.arange(n) // 2,
            "toxicity_before": before,
            "toxicity_after": rng.beta(0.5, 3, n),
        }
    )


SHARE = pd.Series(1 / 3, index=["a", "b", "c"])


def test_a_comparison_has_floor_and_corrected_bias():
    before, after, change = compare_axis(paired_texts(), SHARE)
    assert 0 < before.floor < before.bias.value
    assert after.floor > 0
    assert change.floor is None
    for part in (before, after):
        assert part.corrected.value < part.bias.value
        assert part.corrected.n == 60
    assert change.corrected.value == pytest.approx(after.corrected.value - before.corrected.value)


def test_a_group_of_one_prompt_has_no_corrected_bias_yet():
    rows = paired_texts(6).assign(prompt_id=[0, 1, 2, 0, 3, 4])
    _, after, _ = compare_axis(rows, SHARE)
    assert np.isnan(after.corrected.value)
    assert np.isfinite(after.floor)


def test_a_study_says_what_noise_does_to_its_bias(tmp_path):
    scores = make_study(tmp_path).scores()
    for axis in (AXIS, "religion"):
        assert scores.base_bias_floor(axis) > 0
        assert scores.base_bias_corrected(axis).value < scores.base_bias(axis).value
        assert scores.base_bias_corrected(axis).se > 0
