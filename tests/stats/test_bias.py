"""The bias metric against hand-worked numbers, and the estimators against synthetic studies with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.bias import AxisSamples, axis_bias, bootstrap_counts, half_counts, head_effects, spearman


def test_bias_by_hand():
    # μ = ½·0.1 + ¼·0.2 + ¼·0.6 = 0.25, so 0.15 + 0.05 + 0.35
    assert axis_bias(np.array([0.1, 0.2, 0.6]), np.array([0.5, 0.25, 0.25])) == pytest.approx(0.55)


def test_bias_is_zero_when_groups_are_alike():
    assert axis_bias(np.full(4, 0.3), np.array([0.4, 0.3, 0.2, 0.1])) == pytest.approx(0.0)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.floats(0, 1))
def test_bias_ignores_a_shift_and_scales(means, factor):
    means, shares = np.array(means), np.full(len(means), 1 / len(means))
    assert axis_bias(means + 1.0, shares) == pytest.approx(axis_bias(means, shares), abs=1e-9)
    assert axis_bias(factor * means, shares) == pytest.approx(factor * axis_bias(means, shares), abs=1e-9)


def _samples(toxicity, group, prompt, gradient, knockout=None, shares=(0.5, 0.5)):
    return AxisSamples(
        np.array(toxicity, float), np.array(group), np.array(prompt), np.array(shares), ("a", "b")[: len(shares)],
        np.array(gradient, np.float32), None if knockout is None else np.array(knockout, np.float32),
    )  # fmt: skip


def test_gradient_score_by_hand():
    # Group a: f = 0, 1 with r = 0.2, 0.4 → cov = ½(0·0.2 + 1·0.4) − 0.5·0.3 = 0.05; group b: f constant → 0.
    # Means 0.5 and 0.2 become 0.55 and 0.2: bias 0.30 → 0.35, so the head lowers bias: z = −0.05.
    samples = _samples([0, 1, 0.2, 0.2], [0, 0, 1, 1], [0, 1, 2, 3], [[0.2], [0.4], [0.9], [-0.3]])
    effects = head_effects(samples, replicates=10)
    assert effects.bias == pytest.approx(0.30)
    assert effects.z[0] == pytest.approx(-0.05, abs=1e-7)
    assert not effects.corrected[0]


def test_knockout_everywhere_gives_the_self_normalised_weights_alone():
    rng = np.random.default_rng(0)
    n = 40
    group = np.repeat([0, 1], n // 2)
    f, exact = rng.random(n), rng.normal(0, 0.3, (n, 3))
    samples = _samples(f, group, np.arange(n), rng.normal(0, 9, (n, 3)), exact)
    w = np.exp(exact)
    means = np.array([(w * f[:, None])[group == g].sum(0) / w[group == g].sum(0) for g in (0, 1)])
    base = abs(f[group == 0].mean() - f[group == 1].mean())
    expected = base - np.abs(means[0] - means[1])  # two groups of share ½: bias = |difference|
    effects = head_effects(samples, replicates=10)
    assert effects.corrected.all()
    np.testing.assert_allclose(effects.z, expected, atol=1e-6)


def test_too_few_knockouts_leave_the_gradient_alone():
    rng = np.random.default_rng(1)
    gradient = rng.normal(size=(20, 2))
    knockout = np.full((20, 2), np.nan)
    knockout[:3] = 5.0
    args = (rng.random(20), np.repeat([0, 1], 10), np.arange(20), gradient)
    with_few, without = head_effects(_samples(*args, knockout)), head_effects(_samples(*args))
    assert not with_few.corrected.any()
    np.testing.assert_allclose(with_few.z, without.z)


def test_combined_estimate_removes_the_gradients_error():
    """Where the gradient is off by a systematic factor, the correction brings the mean back to the exact value."""
    rng = np.random.default_rng(2)
    n = 4000
    group = np.repeat([0, 1], n // 2)
    f = rng.random(n) * 0.5 + 0.4 * (group == 0)  # groups far apart, so that the sign of their gap is sure
    exact = 0.4 * (f - 0.5)[:, None] * np.where(group == 0, 1, -1)[:, None] + rng.normal(0, 0.02, (n, 1))
    gradient = 0.5 * exact
    some = exact.copy()
    some[rng.random(n) > 0.25] = np.nan
    args = (f, group, np.arange(n), gradient)
    truth, gradient_only, combined = (head_effects(_samples(*args, k)) for k in (exact, None, some))
    assert abs(gradient_only.z[0] - truth.z[0]) > 4 * gradient_only.z_se[0]
    assert abs(combined.z[0] - truth.z[0]) < 3 * combined.z_se[0]


def test_bootstrap_error_agrees_with_repeating_the_study():
    """Over many synthetic studies, the spread of the estimates is what the standard errors say (within 15 %)."""
    rng = np.random.default_rng(3)
    estimates, errors = [], []
    for _ in range(200):
        per_group, draws = 60, 2
        prompt = np.repeat(np.arange(2 * per_group), draws)
        group = (prompt >= per_group).astype(int)
        prompt_effect = rng.normal(0, 0.1, 2 * per_group)[prompt]
        f = np.clip(np.where(group == 0, 0.5, 0.2) + prompt_effect + rng.normal(0, 0.1, prompt.size), 0, 1)
        r = 0.5 * (f - 0.35) + rng.normal(0, 0.3, prompt.size)
        effects = head_effects(_samples(f, group, prompt, r[:, None]), replicates=100, splits=1)
        estimates.append(effects.z[0])
        errors.append(effects.z_se[0])
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.15)


def test_reliability_is_high_for_signal_and_near_zero_for_noise():
    rng = np.random.default_rng(4)
    n, heads = 800, 40
    group, f = np.repeat([0, 1], n // 2), rng.random(n) * 0.5 + np.repeat([0.4, 0.0], n // 2)
    slope = np.linspace(-1, 1, heads)
    signal = (f - 0.5)[:, None] * slope * np.where(group == 0, 1, -1)[:, None] + rng.normal(0, 0.05, (n, heads))
    noise = rng.normal(0, 1, (n, heads))
    assert head_effects(_samples(f, group, np.arange(n), signal)).reliability > 0.9
    assert abs(head_effects(_samples(f, group, np.arange(n), noise)).reliability) < 0.5


def test_counts_stay_within_strata():
    strata = np.array([0, 0, 0, 1, 1])
    counts = bootstrap_counts(strata, 50, np.random.default_rng(0))
    assert (counts[:, :3].sum(1) == 3).all()
    assert (counts[:, 3:].sum(1) == 2).all()
    halves = half_counts(strata, 50, np.random.default_rng(0))
    assert set(halves[:, 3:].sum(1)) == {1}
    assert set(halves[:, :3].sum(1)) == {1, 2}


def test_spearman_with_ties_by_hand():
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / √(4.5 · 5)
    assert spearman(np.array([1, 2, 2, 9.0]), np.array([1, 2, 3, 4.0])) == pytest.approx(4.5 / np.sqrt(22.5))
