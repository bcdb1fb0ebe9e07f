"""Perplexity and z_ppl against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fasp_core.stats.perplexity import WindowSamples, of_heads, perplexity_effects


def test_perplexity_weighs_tokens_not_windows():
    none = np.zeros((2, 1))
    assert perplexity_effects(WindowSamples(np.array([-10.0, -30]), np.array([10, 10]), none)).ppl == pytest.approx(
        np.exp(2)
    )
    assert perplexity_effects(WindowSamples(np.array([-10.0, -60]), np.array([10, 30]), none)).ppl == pytest.approx(
        np.exp(70 / 40)
    )


def test_z_ppl_by_hand():
    # Two windows of 10 tokens, 20 nats each: ppl = e². Knocking the head out costs 1 nat in each: ppl' = e^2.1.
    samples = WindowSamples(np.array([-20.0, -20.0]), np.array([10, 10]), np.array([[-1.0], [-1.0]]))
    effects = perplexity_effects(samples, replicates=20, splits=2)
    assert effects.ppl == pytest.approx(np.exp(2))
    assert effects.z[0] == pytest.approx(np.exp(2.1) - np.exp(2))
    assert effects.z_se[0] == pytest.approx(0, abs=1e-12)


def test_knockout_corrects_the_gradient():
    rng = np.random.default_rng(0)
    n = 60
    gradient = rng.normal(-1, 0.1, (n, 2))
    exact = gradient - 2.0
    knockout = np.full((n, 2), np.nan)
    knockout[:10, 0] = exact[:10, 0]
    samples = WindowSamples(np.full(n, -50.0), np.full(n, 20), gradient, knockout)
    effects = perplexity_effects(samples)
    ppl = np.exp(2.5)
    assert list(effects.corrected) == [True, False]
    assert effects.z[0] == pytest.approx(ppl * np.expm1(-exact[:, 0].mean() / 20), rel=1e-6)
    assert effects.z[1] == pytest.approx(ppl * np.expm1(-gradient[:, 1].mean() / 20), rel=1e-6)


def test_a_windows_error_is_that_of_the_log_perplexity():
    """40 windows of equal length: ppl = exp(mean), so its error is ppl · sd / √40 / tokens (delta method)."""
    nll = np.random.default_rng(1).normal(300, 20, 40)
    found = perplexity_effects(WindowSamples(-nll, np.full(40, 100), np.zeros((40, 1))))
    assert found.ppl_se == pytest.approx(found.ppl * nll.std(ddof=1) / np.sqrt(40) / 100, rel=0.1)


def test_reliability_is_high_for_signal_and_near_zero_for_noise():
    rng = np.random.default_rng(2)
    noise, size = rng.normal(0, 1, (40, 60)), np.linspace(-1, 1, 60)
    signal, none = (
        perplexity_effects(WindowSamples(np.full(40, -300.0), np.full(40, 100), x)).reliability
        for x in (noise + 3 * size, noise)
    )
    assert signal > 0.95
    assert abs(none) < 0.4


def test_some_heads_have_the_scores_they_have_among_all():
    rng = np.random.default_rng(3)
    knockout = np.where(rng.random((30, 5)) < 0.5, rng.normal(-2, 1, (30, 5)), np.nan)
    windows = WindowSamples(rng.normal(-300, 20, 30), np.full(30, 100), rng.normal(-2, 1, (30, 5)), knockout)
    whole, some = perplexity_effects(windows), perplexity_effects(of_heads(windows, [3, 0]))
    np.testing.assert_allclose(some.z, whole.z[[3, 0]])


def test_errors_from_few_knock_outs_are_as_large_as_the_estimates_spread():
    """300 studies with 4 knock-out windows of 40: errors that resampling gives are √¾ of that."""
    rng, found, told = np.random.default_rng(4), [], []
    for _ in range(300):
        gradient = rng.normal(0, 0.1, (40, 6))
        knockout = np.full((40, 6), np.nan)
        knockout[:4] = gradient[:4] + rng.normal(-0.5, 1.0, (4, 6))
        samples = WindowSamples(np.full(40, -30.0), np.full(40, 10), gradient, knockout)
        effects = perplexity_effects(samples, replicates=200, splits=1)
        found.append(effects.z)
        told.append(effects.z_se)
    spread = np.std(found, axis=0).mean()
    assert np.sqrt(np.mean(np.square(told))) == pytest.approx(spread, rel=0.06)
