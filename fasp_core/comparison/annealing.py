"""Simulated annealing: the set of heads with the lowest predicted bias within a predicted budget of perplexity.

Several chains walk at once over sets. A move adds a head, drops one, or exchanges one for another; one that raises the
bias by d is made with probability exp(−d / T), and T falls geometrically (Kirkpatrick et al. 1983,
doi:10.1126/science.220.4598.671). Sets beyond the budget, and those that are measured already, are never entered. The
best set that any chain was at is the answer. Effects add up as in `surrogate`.
Letters: C chains, F heads that may go, G groups. Numpy only.
"""

from __future__ import annotations

import numpy as np

CHAINS, STEPS = 12, 400
COLD = 1e-3  # the last temperature, as a share of the first


def anneal(
    gaps: np.ndarray,
    effects: np.ndarray,
    cost: np.ndarray,
    *,
    budget: float,
    most: int,
    rng: np.random.Generator,
    measured: np.ndarray | None = None,
) -> np.ndarray:
    """The heads (indices, sorted) of the best set found, of at least one and at most `most`; empty where none was.

    Best is the lowest Σ_G |gaps + Σ effects| with Σ cost ≤ `budget`, for gaps (G), effects (F, G) and cost (F), where a
    cost below 0 counts as 0: such a head pays for no other. None of the sets `measured` (m, F) bool is an answer.
    """
    cost, rows = np.maximum(cost, 0.0), np.arange(CHAINS)
    keys = rng.integers(2**52, size=cost.size)  # sets are told apart by the sum of their heads' keys
    known = keys[:0] if measured is None else measured @ keys
    inside = np.zeros((CHAINS, cost.size), bool)
    size, key, spent = np.zeros(CHAINS, int), np.zeros(CHAINS, int), np.zeros(CHAINS)
    gap, bias = np.tile(gaps, (CHAINS, 1)), np.full(CHAINS, np.abs(gaps).sum())
    best, least = inside[0].copy(), np.inf
    hot = max(float(np.abs(effects).sum(1).mean()), np.finfo(float).tiny)
    for temperature in np.geomspace(hot, COLD * hot, STEPS):
        new, old, kind = _any_of(~inside, rng), _any_of(inside, rng), rng.integers(3, size=CHAINS)
        adds, drops = kind != 0, kind != 1
        moved = gap + adds[:, None] * effects[new] - drops[:, None] * effects[old]  # (C, G)
        paid, heads = spent + adds * cost[new] - drops * cost[old], size + adds - drops
        name, after = key + adds * keys[new] - drops * keys[old], np.abs(moved).sum(1)
        possible = (~adds | ~inside[rows, new]) & (~drops | inside[rows, old])
        possible &= (heads >= 1) & (heads <= most) & (paid <= budget) & (name[:, None] != known).all(1)
        made = possible & (rng.random(CHAINS) < np.exp(np.minimum(0.0, (bias - after) / temperature)))
        inside[rows[made & drops], old[made & drops]] = False
        inside[rows[made & adds], new[made & adds]] = True
        for state, value in ((gap, moved), (spent, paid), (size, heads), (key, name), (bias, after)):
            state[made] = value[made]
        bias_now = np.where(size > 0, bias, np.inf)
        if bias_now.min() < least:
            best, least = inside[bias_now.argmin()].copy(), float(bias_now.min())
    return np.flatnonzero(best)


def _any_of(eligible: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random head of the eligible ones (C, F) for each chain, (C); one that is not where there is none."""
    return np.argmax(eligible * (1 - rng.random(eligible.shape)), axis=1)
