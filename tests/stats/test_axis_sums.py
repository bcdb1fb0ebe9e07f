"""Sums over prompts against plain loops, and the effective sample size by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fasp_core.stats.axis_sums import AxisSamples, AxisSums, effective_share
from fasp_core.stats.bias import head_effects


def made_samples(seed: int, *, n: int = 60, heads: int = 300) -> AxisSamples:
    """Twenty prompts of two groups, samples in any order; more heads than one chunk holds."""
    rng = np.random.default_rng(seed)
    prompt = rng.permutation(np.arange(n) % 20)
    knockout, again = rng.normal(0, 0.3, (n, heads)), rng.random((n, heads))
    knockout[rng.random((n, heads)) < 0.5] = np.nan
    again[rng.random((n, heads)) < 0.5] = np.nan
    knockout[prompt >= 15] = again[prompt >= 15] = np.nan
    gradient = rng.normal(0, 0.3, (n, heads))
    return AxisSamples(rng.random(n), prompt % 2, prompt, np.full(2, 0.5), ("a", "b"), gradient, knockout, again)


def test_sums_are_those_of_a_plain_loop():
    samples = made_samples(0)
    sums = AxisSums.of(samples)
    assert sums.group.tolist() == [0, 1] * 10
    assert sums.measured.tolist() == [True] * 15 + [False] * 5
    assert sums.strata.tolist() == [1, 3] * 7 + [1, 2] + [0, 2] * 2
    for p in range(20):
        rows = np.flatnonzero(samples.prompt == p)
        assert (sums.n[p], sums.f[p]) == (rows.size, pytest.approx(samples.toxicity[rows].sum()))
        for h in (0, 255, 256, 299):
            f, r = samples.toxicity[rows], samples.gradient[rows, h]
            assert (sums.r[p, h], sums.fr[p, h]) == pytest.approx((r.sum(), (f * r).sum()))
            has, w = np.isfinite(samples.knockout[rows, h]), np.exp(samples.knockout[rows, h])
            found = [getattr(sums.knockout, name)[p, h] for name in ("n", "f", "r", "fr", "w", "fw")]
            expected = [has.sum(), f[has].sum(), r[has].sum(), (f * r)[has].sum(), w[has].sum(), (f * w)[has].sum()]
            assert found == pytest.approx(expected)
            change = samples.regenerated[rows, h] - f
            assert sums.regenerated.n[p, h] == np.isfinite(change).sum()
            assert sums.regenerated.change[p, h] == pytest.approx(np.nansum(change))


def test_the_first_samples_have_the_sums_of_those_alone():
    """Of the first 12 samples only their own prompts are there, with new codes in the order of the old ones."""
    samples = made_samples(4, heads=3)
    prompts = np.unique(samples.prompt[:12])
    first = AxisSums.of(samples.first(12))
    assert first.n.tolist() == [(samples.prompt[:12] == p).sum() for p in prompts]
    assert first.group.tolist() == (prompts % 2).tolist()
    f = [samples.toxicity[:12][samples.prompt[:12] == p].sum() for p in prompts]
    np.testing.assert_allclose(first.f, f)


def test_the_order_of_samples_does_not_matter():
    samples = made_samples(1, heads=5)
    order = np.random.default_rng(2).permutation(60)
    rows = ("toxicity", "group", "prompt", "gradient", "knockout", "regenerated")
    shuffled = AxisSamples(**{k: v[order] if k in rows else v for k, v in vars(samples).items()})
    first, second = (head_effects(AxisSums.of(x), replicates=20) for x in (samples, shuffled))
    np.testing.assert_allclose(first.z, second.z, atol=1e-12)
    np.testing.assert_allclose(first.z_se, second.z_se, atol=1e-12)


def test_some_heads_have_the_scores_they_have_among_all():
    sums = AxisSums.of(made_samples(3, heads=6))
    whole, some = head_effects(sums, replicates=20), head_effects(sums.of_heads([4, 1]), replicates=20)
    for name in ("z", "z_se", "effective_share", "corrected"):
        np.testing.assert_allclose(getattr(some, name), getattr(whole, name)[[4, 1]])


def test_the_effective_share_by_hand():
    # Weights 1 and 3 in group a: 4² / (2 · (1 + 9)) = 0.8; equal ones in group b: 1. The worst group counts.
    samples = AxisSamples(
        np.zeros(4), np.array([0, 0, 1, 1]), np.arange(4), np.full(2, 0.5), ("a", "b"), np.log([[1], [3], [2], [2]])
    )
    assert effective_share(samples) == pytest.approx([0.8])


def test_the_effective_share_is_that_of_the_knockout_where_it_was_measured():
    group, exact = np.repeat([0, 1], 8), np.log(np.tile([1.0, 3.0], 8))[:, None]
    samples = AxisSamples(np.zeros(16), group, np.arange(16), np.full(2, 0.5), ("a", "b"), np.zeros((16, 1)), exact)
    assert effective_share(samples) == pytest.approx([0.8])


def test_the_effective_share_of_far_log_ratios_is_a_number():
    ratios = np.array([[-2000.0], [-1000.0], [900.0], [900.0]])
    samples = AxisSamples(np.zeros(4), np.array([0, 0, 1, 1]), np.arange(4), np.full(2, 0.5), ("a", "b"), ratios)
    assert effective_share(samples) == pytest.approx([0.5])
