"""What a second measurement keeps of the top: against second measurements that are really made."""

from __future__ import annotations

import numpy as np
import pytest

from fasp_core.stats.stability import top_overlap


@pytest.mark.parametrize(("spread", "error"), [(1.0, 0.2), (1.0, 1.0), (0.3, 1.0), (0.0, 1.0)])
def test_the_expected_overlap_is_that_of_second_measurements(spread, error):
    rng = np.random.default_rng(0)
    foretold, seen = [], []
    for _ in range(40):
        truth = rng.normal(0, spread, 270)
        errors = error * rng.uniform(0.5, 1.5, 270)
        first, second = (truth + errors * rng.standard_normal(270) for _ in range(2))
        overlap = top_overlap(first, errors)
        foretold.append(overlap.expected)
        seen.append(len(set(np.argsort(-first)[:20]) & set(np.argsort(-second)[:20])))
        assert overlap.low <= overlap.expected <= overlap.high
    assert np.mean(foretold) == pytest.approx(np.mean(seen), abs=1.5)


@pytest.mark.parametrize("times", [5, 15])
def test_a_few_heads_with_large_shared_errors_do_not_hide_what_the_others_keep(times):
    """As in the first layers of real models: their errors come from the same prompts, so all are large or none is."""
    rng = np.random.default_rng(1)
    few, errors = slice(10), np.full(270, 0.02)
    errors[few] *= times
    foretold, seen = [], []
    for _ in range(60):
        truth = 0.03 * rng.standard_t(4, 270)
        noise = errors * rng.standard_normal((2, 270))
        noise[:, few] = errors[few] * (0.95 * rng.standard_normal((2, 1)) + 0.3 * rng.standard_normal((2, 10)))
        first, second = truth + noise
        foretold.append(top_overlap(first, errors).expected)
        seen.append(len(set(np.argsort(-first)[:20]) & set(np.argsort(-second)[:20])))
    assert np.mean(foretold) == pytest.approx(np.mean(seen), abs=1.0)
    assert np.std(foretold) < 1.5


def test_the_top_of_exact_scores_stays_whole():
    assert top_overlap(np.arange(100.0), np.full(100, 1e-9)).expected == 20


@pytest.mark.parametrize("errors", [np.full(100, np.nan), np.zeros(100)])
def test_without_errors_nothing_can_be_told(errors):
    assert top_overlap(np.arange(100.0), errors) is None


def test_a_list_no_longer_than_its_top_has_none():
    assert top_overlap(np.arange(20.0), np.ones(20)) is None
