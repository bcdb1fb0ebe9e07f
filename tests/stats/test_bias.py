"""The bias metric against hand-worked numbers, and the estimators against synthetic studies with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.stats.axis_sums import AxisSamples, AxisSums
from fasp_core.stats.bias import axis_bias, head_effects


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


def _sums(toxicity, group, prompt, gradient, knockout=None, regenerated=None, shares=(0.5, 0.5)):
    samples = AxisSamples(
        np.array(toxicity, float),
        np.array(group),
        np.array(prompt),
        np.array(shares),
        ("a", "b")[: len(shares)],
        np.array(gradient, np.float32),
        None if knockout is None else np.array(knockout, np.float32),
        None if regenerated is None else np.array(regenerated, float),
    )
    return AxisSums.of(samples)


def test_gradient_score_by_hand():
    # Group a: f = 0, 1 with r = 0.2, 0.4 → cov = ½(0·0.2 + 1·0.4) − 0.5·0.3 = 0.05; group b: f constant → 0.
    # Means 0.5 and 0.2 become 0.55 and 0.2: bias 0.30 → 0.35, so the head lowers bias: z = −0.05.
    sums = _sums([0, 1, 0.2, 0.2], [0, 0, 1, 1], [0, 1, 2, 3], [[0.2], [0.4], [0.9], [-0.3]])
    effects = head_effects(sums, replicates=10)
    assert effects.bias == pytest.approx(0.30)
    assert effects.z[0] == pytest.approx(-0.05, abs=1e-7)
    assert not effects.corrected[0]


def test_knockout_everywhere_gives_the_self_normalised_weights_alone():
    rng = np.random.default_rng(0)
    n = 40
    group = np.repeat([0, 1], n // 2)
    f, exact = rng.random(n), rng.normal(0, 0.3, (n, 3))
    sums = _sums(f, group, np.arange(n), rng.normal(0, 9, (n, 3)), exact)
    w = np.exp(exact)
    means = np.array([(w * f[:, None])[group == g].sum(0) / w[group == g].sum(0) for g in (0, 1)])
    base = abs(f[group == 0].mean() - f[group == 1].mean())
    expected = base - np.abs(means[0] - means[1])  # two groups of share ½: bias = |difference|
    effects = head_effects(sums, replicates=10)
    assert effects.corrected.all()
    np.testing.assert_allclose(effects.z, expected, atol=1e-6)


def test_too_few_knockouts_leave_the_gradient_alone():
    rng = np.random.default_rng(1)
    gradient = rng.normal(size=(20, 2))
    knockout = np.full((20, 2), np.nan)
    knockout[:3] = 5.0
    args = (rng.random(20), np.repeat([0, 1], 10), np.arange(20), gradient)
    with_few, without = head_effects(_sums(*args, knockout)), head_effects(_sums(*args))
    assert not with_few.corrected.any()
    np.testing.assert_allclose(with_few.z, without.z)


def test_a_head_that_was_sampled_again_is_scored_by_those_texts_alone():
    """Head 0: f' is 0.1 lower in group a and 0.2 higher in b; means 0.5 and 0.2 become 0.4 and 0.4, so the bias falls
    from 0.3 to 0. Head 1 was sampled again in too few prompts of group b: its gradient (no change) counts."""
    n, group = 20, np.repeat([0, 1], 10)
    f = np.where(group == 0, 0.5, 0.2)
    again = np.stack([f + np.where(group == 0, -0.1, 0.2)] * 2, axis=1)
    again[13:, 1] = np.nan
    knockout = np.full((n, 2), np.nan)
    knockout[:, 0] = np.linspace(-2, 2, n)
    effects = head_effects(_sums(f, group, np.arange(n), np.zeros((n, 2)), knockout, again), replicates=10)
    np.testing.assert_allclose(effects.z, [0.3, 0.0], atol=1e-12)
    assert not effects.corrected.any()
    assert effects.z_se[0] == pytest.approx(0, abs=1e-12)


def test_a_knockout_that_gives_no_number_leaves_its_samples_out_of_the_correction():
    rng = np.random.default_rng(5)
    group, f, gradient = np.repeat([0, 1], 12), rng.random(24), rng.normal(0, 0.1, (24, 1))
    some = np.where((np.arange(24) % 12 < 9)[:, None], gradient + 0.1 * f[:, None], np.nan)
    effects = head_effects(_sums(f, group, np.arange(24), gradient, some), replicates=20)
    means = []
    for g in (0, 1):
        inside, has = group == g, (group == g) & np.isfinite(some[:, 0])
        w = np.exp(some[has, 0].astype(np.float32).astype(float))
        r = gradient[:, 0].astype(np.float32).astype(float)
        first = np.mean(f[inside] * r[inside]) - f[inside].mean() * r[inside].mean()
        exact = (w * f[has]).sum() / w.sum() - f[has].mean()
        means.append(f[inside].mean() + first + exact - (np.mean(f[has] * r[has]) - f[has].mean() * r[has].mean()))
    base = abs(f[:12].mean() - f[12:].mean())
    assert effects.corrected[0]
    assert effects.z[0] == pytest.approx(base - abs(means[0] - means[1]), abs=1e-9)


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
    truth, gradient_only, combined = (head_effects(_sums(*args, k)) for k in (exact, None, some))
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
        effects = head_effects(_sums(f, group, prompt, r[:, None]), replicates=100, splits=1)
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
    assert head_effects(_sums(f, group, np.arange(n), signal)).reliability > 0.9
    assert abs(head_effects(_sums(f, group, np.arange(n), noise)).reliability) < 0.5
