"""The size of the bias of λ < 1: by hand, nothing where there is none, and what was planted."""

from __future__ import annotations

import numpy as np
import pytest

from fasp_core.stats.bias import head_effects
from fasp_core.stats.discounting import bias_sizes, excess_size
from fasp_core.stats.prompt_sums import PromptSums

HEADS, PROMPTS = 80, 240


def two_estimators(seed, bias, *, noise=0.02, more=0.06):
    """Sums by λ < 1 and λ = 1 of the same texts of four groups; head h is off by bias[h] in the two above the mean."""
    rng = np.random.default_rng(seed)
    group = np.arange(PROMPTS) % 4
    toxicity = np.array([0.1, 0.1, 0.3, 0.3])[group] + rng.normal(0, 0.02, PROMPTS)
    discounted = rng.normal(0, noise, (PROMPTS, HEADS))
    unbiased = discounted + rng.normal(0, more, (PROMPTS, HEADS)) + np.where(group > 1, 1, 0)[:, None] * bias
    sums = PromptSums.of_texts(np.arange(PROMPTS), group, toxicity, {"l": discounted, "1": unbiased})
    return tuple(sums.axis_sums(name, np.full(4, 0.25), tuple("abcd")) for name in ("l", "1"))


def test_by_hand():
    assert excess_size(np.array([3.0, 1.0]), np.ones(2)) == pytest.approx(2)
    assert excess_size(np.array([0.5, -0.5]), np.ones(2)) == 0
    assert excess_size(np.zeros(2), np.zeros(2)) == 0


def test_a_planted_bias_is_found_and_enters_the_errors():
    """Two groups are above the mean by as much as two are below: z is off by Σ_g |Δ gap| = 4 · bias / 2."""
    rng = np.random.default_rng(7)
    bias, protected = rng.normal(0, 0.03, HEADS), np.arange(HEADS) < 20
    bias[protected] *= 4
    discounted, unbiased = two_estimators(1, bias)
    size = bias_sizes(discounted, unbiased, protected)
    assert size[~protected] == pytest.approx(2 * np.sqrt(np.mean(bias[~protected] ** 2)), rel=0.2)
    assert size[protected] == pytest.approx(2 * np.sqrt(np.mean(bias[protected] ** 2)), rel=0.2)
    alone = head_effects(discounted, replicates=50, splits=1)
    both = head_effects(discounted, unbiased=unbiased, replicates=50, splits=1, protected=protected)
    np.testing.assert_allclose(both.z_se, np.hypot(alone.z_se, size))
    np.testing.assert_array_equal(both.z, alone.z)
    np.testing.assert_allclose(both.unbiased.z, head_effects(unbiased, replicates=2, splits=1).z)


def test_no_bias_is_seen_where_there_is_none():
    sizes = [bias_sizes(*two_estimators(seed, np.zeros(HEADS)))[0] for seed in range(40)]
    error = 0.06 * np.sqrt(4 * 0.25 * 4 / PROMPTS) * 2  # of a difference of two such scores, at least
    assert np.mean([size == 0 for size in sizes]) > 0.3
    assert max(sizes) < error


def test_equal_estimators_differ_by_nothing():
    discounted, _ = two_estimators(0, np.zeros(HEADS))
    assert not bias_sizes(discounted, discounted).any()
