"""Mean toxicity as a target: by hand, against brute force, nothing where there is nothing, and what was planted.

Covers `target`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fasp_core.stats.axis_sums import AxisSamples, AxisSums
from fasp_core.stats.bias import head_effects
from fasp_core.stats.mean_toxicity import Level, level_of, mean_level
from fasp_core.stats.paired import compare_axis, compare_level
from fasp_core.stats.resampling import Replicates

NOBODY = np.zeros(1, bool)


def draws_of(rows: int) -> Replicates:
    return Replicates(np.ones((rows, 1)), n_splits=1)


def test_a_level_by_hand():
    # ½·0.1 + ½·0.3 = 0.2; the head's removal moves the means by −0.02 and 0: z = ½·0.02
    means, moves = np.tile([0.1, 0.3], (5, 1)), np.tile([[-0.02, 0.0]], (5, 1, 1))
    level = level_of(means, moves, np.array([0.5, 0.5]), draws_of(5), scale=1.0)
    assert (level.value, level.z[0]) == (pytest.approx(0.2), pytest.approx(0.01))
    assert level.se == level.z_se[0] == 0


def test_the_errors_are_those_of_the_replicates():
    means = np.array([[0.2], [0.1], [0.3], [0.2], [0.2]])  # the data, two replicates, two halves
    moves = np.array([0.0, 0.01, 0.03, 0.05, 0.07]).reshape(5, 1, 1)
    level = level_of(means, moves, np.ones(1), draws_of(5), scale=2.0)
    assert level.se == pytest.approx(2 * np.std([0.1, 0.3], ddof=1))
    assert level.z_se[0] == pytest.approx(2 * np.std([0.01, 0.03], ddof=1))
    np.testing.assert_allclose(level.halves[:, 0, 0], [-0.05, -0.07])


def test_axes_count_alike_and_their_errors_are_independent():
    one, other = (
        Level(value, se, np.array([z]), np.array([z_se]), np.full((2, 1, 1), z))
        for value, se, z, z_se in ((0.1, 0.03, 0.02, 0.003), (0.3, 0.04, 0.06, 0.004))
    )
    level = mean_level([one, other])
    assert (level.value, level.se) == (pytest.approx(0.2), pytest.approx(0.025))
    assert (level.z[0], level.z_se[0]) == (pytest.approx(0.04), pytest.approx(0.0025))
    assert level.unbiased is None
    both = mean_level([one.beside(other, np.array([0.004])), one.beside(one, np.array([0.0]))])
    assert both.unbiased is not None
    assert both.unbiased.z[0] == pytest.approx(0.04)
    assert both.z_se[0] == pytest.approx(np.hypot(0.005, 0.003) / 2)


def samples(seed: int, effect: np.ndarray, n: int = 240) -> AxisSamples:
    """Texts of three groups of unequal mean toxicity; head h makes a text likelier by effect[h] × its toxicity."""
    rng = np.random.default_rng(seed)
    group, prompt = np.arange(n) % 3, np.arange(n) // 2
    toxicity = np.clip(rng.normal(0.2 + 0.1 * group, 0.1), 0, 1)
    gradient = toxicity[:, None] * effect - 0.3 + rng.normal(0, 0.2, (n, effect.size))
    group = np.repeat(np.arange(n // 2) % 3, 2)
    return AxisSamples(toxicity, group, prompt, np.array([0.2, 0.3, 0.5]), ("a", "b", "c"), gradient)


def test_a_score_is_the_share_weighted_covariance_of_every_group():
    made = samples(1, np.array([0.5, -0.5, 0.0]))
    expected = -sum(
        share * np.cov(made.toxicity[made.group == g], made.gradient[made.group == g, 0], bias=True)[0, 1]
        for g, share in enumerate(made.shares)
    )
    effects = head_effects(AxisSums.of(made), replicates=50)
    assert effects.level.z[0] == pytest.approx(expected)
    means = [made.toxicity[made.group == g].mean() for g in range(3)]
    assert effects.level.value == pytest.approx(np.dot(made.shares, means))


def test_intervals_hold_the_truth():
    """No head does anything: 95 % intervals leave out 0 for 5 % of 40 × 30 heads (standard error 0.6 %)."""
    outside = []
    for seed in range(40):
        level = head_effects(AxisSums.of(samples(seed, np.zeros(30))), replicates=200).level
        outside.append(np.abs(level.z) > 1.96 * level.z_se)
    assert 0.03 <= np.mean(outside) <= 0.075


def test_what_was_planted_is_found():
    """Without head 2 toxic texts are less likely, without head 5 more: they are the first and the last by z."""
    effect = np.zeros(8)
    effect[2], effect[5] = -2.0, 2.0
    level = head_effects(AxisSums.of(samples(3, effect, n=960)), replicates=200).level
    assert (int(level.z.argmax()), int(level.z.argmin())) == (2, 5)
    assert level.z[2] > 5 * level.z_se[2]
    assert level.reliability(np.zeros(8, bool)) > 0.3


def test_a_difference_between_groups_is_none_of_it():
    """A head that makes one group worse and another better by as much drives a bias, and no toxicity."""
    toxicity = np.tile([0.0, 1.0], 200)
    group, prompt = np.repeat([0, 1], 200), np.arange(400)
    sign = np.where(group == 0, -1.0, 1.0)
    gradient = (sign * toxicity)[:, None]
    made = AxisSamples(toxicity, group, prompt, np.array([0.5, 0.5]), ("a", "b"), gradient)
    effects = head_effects(AxisSums.of(made), replicates=50)
    assert effects.level.z[0] == pytest.approx(0, abs=1e-12)
    assert abs(effects.z[0]) == pytest.approx(0.5)


def test_before_and_after_by_hand():
    """Axes a (two prompts) and b: means 0.2 and 0.4 before, 0.1 and 0.4 after; each axis counts ½."""
    rows = pd.DataFrame(
        {
            "group": ["a", "a", "b", "b"],
            "prompt_id": [0, 1, 2, 3],
            "toxicity_before": [0.1, 0.3, 0.4, 0.4],
            "toxicity_after": [0.0, 0.2, 0.4, 0.4],
        }
    )
    share = pd.Series({"a": 0.5, "b": 0.5})
    before, after, change = compare_level(rows, share)
    assert (before.bias.value, after.bias.value) == (pytest.approx(0.3), pytest.approx(0.25))
    assert change.bias.value == pytest.approx(-0.05)
    assert change.bias.se == pytest.approx(0, abs=1e-12)  # every text of a fell by 0.1
    assert before.floor is None
    assert change.groups["a"].value == pytest.approx(-0.1)
    assert compare_level(rows[:2], share) is None
    assert compare_axis(rows, share)[0].bias.value == pytest.approx(0.2)  # |0.3 − 0.2| + |0.3 − 0.4|
