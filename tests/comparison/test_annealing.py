"""Annealing against every set there is, on small cases."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from fasp_core.comparison.annealing import anneal

HEADS = 11


def made(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.1, 4), rng.normal(0, 0.04, (HEADS, 4)), rng.normal(0.02, 0.02, HEADS)


def every_set(gaps, effects, cost, budget, most, measured=()):
    """The lowest bias of all sets that may be an answer, by enumeration."""
    least = np.inf
    for mask in product([0, 1], repeat=HEADS):
        heads = [head for head in range(HEADS) if mask[head]]
        dear = sum(max(cost[head], 0.0) for head in heads) > budget
        if heads and len(heads) <= most and not dear and {*heads} not in measured:
            least = min(least, float(np.abs(gaps + effects[heads].sum(0)).sum()))
    return least


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("budget", "most"), [(np.inf, HEADS), (0.06, HEADS), (np.inf, 3)])
def test_the_set_found_is_the_best_of_all_sets(seed, budget, most):
    gaps, effects, cost = made(seed)
    found = anneal(gaps, effects, cost, budget=budget, most=most, rng=np.random.default_rng(seed))
    assert 1 <= len(found) <= most
    assert np.maximum(cost[found], 0).sum() <= budget
    left = np.abs(gaps + effects[found].sum(0)).sum()
    assert left == pytest.approx(every_set(gaps, effects, cost, budget, most))


@pytest.mark.parametrize("seed", range(4))
def test_sets_that_were_measured_are_no_answer(seed):
    gaps, effects, cost = made(seed)
    measured, known = np.zeros((3, HEADS), bool), []
    for mask in measured:
        found = anneal(
            gaps, effects, cost, budget=np.inf, most=HEADS, rng=np.random.default_rng(seed), measured=measured
        )
        left = np.abs(gaps + effects[found].sum(0)).sum()
        assert left == pytest.approx(every_set(gaps, effects, cost, np.inf, HEADS, known))
        mask[found] = True
        known.append({*found})


def test_the_same_seed_finds_the_same_set_and_no_budget_finds_none():
    gaps, effects, cost = made(1)
    sets = [anneal(gaps, effects, cost, budget=0.05, most=4, rng=np.random.default_rng(5)) for _ in range(2)]
    np.testing.assert_array_equal(*sets)
    assert anneal(gaps, effects, cost + 1, budget=0.05, most=4, rng=np.random.default_rng(5)).size == 0
    one_free = np.where(np.arange(HEADS) == 3, -1.0, 1.0)  # it costs nothing, and pays for no other
    assert anneal(gaps, effects, one_free, budget=0, most=4, rng=np.random.default_rng(5)).tolist() == [3]
