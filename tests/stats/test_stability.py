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


def test_the_top_of_exact_scores_stays_whole():
    assert top_overlap(np.arange(100.0), np.full(100, 1e-9)).expected == 20


@pytest.mark.parametrize("errors", [np.full(100, np.nan), np.zeros(100)])
def test_without_errors_nothing_can_be_told(errors):
    assert top_overlap(np.arange(100.0), errors) is None


def test_a_list_no_longer_than_its_top_has_none():
    assert top_overlap(np.arange(20.0), np.ones(20)) is None
