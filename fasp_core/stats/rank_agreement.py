"""Do measures put things in the same order? Spearman's ρ between every two, with intervals by a bootstrap.

Letters: n things (heads, or pruned sets), k measures, R replicates. Numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fasp_core.stats.resampling import REPLICATES, average_ranks, spearman

MIN_THINGS = 5  # with fewer, resampling says nothing of the error


@dataclass(frozen=True, eq=False)
class RankAgreement:
    """Spearman's ρ of every two measures and its 95 % interval, (k, k) each; `n` (k, k) things have both.

    NaN where fewer than MIN_THINGS have both, or one of the two is constant. The diagonal is 1.
    """

    r: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray


def rank_agreement(values: np.ndarray, *, seed: int = 0) -> RankAgreement:
    """ρ between the columns of `values` (n, k), where NaN is no value; the interval is of percentiles."""
    values, k = np.asarray(values, float), np.asarray(values).shape[1]
    rng = np.random.default_rng(seed)
    r, low, high = (np.where(np.eye(k, dtype=bool), 1.0, np.nan) for _ in range(3))
    known = np.isfinite(values)
    n = known.T.astype(int) @ known.astype(int)
    for a, b in combinations(range(k), 2):
        pair = values[known[:, a] & known[:, b]][:, [a, b]]
        if len(pair) < MIN_THINGS or not np.isfinite(found := spearman(*pair.T)):
            continue
        drawn = pair[rng.integers(len(pair), size=(REPLICATES, len(pair)))]  # (R, n, 2)
        ends = np.nanquantile(_spearman(drawn), (0.025, 0.975))
        for matrix, value in zip((r, low, high), (found, *ends), strict=True):
            matrix[a, b] = matrix[b, a] = value
    return RankAgreement(r, low, high, n)


def _spearman(pairs: np.ndarray) -> np.ndarray:
    """ρ of each of R samples of pairs, (R, n, 2) → (R); NaN where one side is constant."""
    ranks = average_ranks(np.swapaxes(pairs, 1, 2))  # (R, 2, n)
    ranks -= ranks.mean(axis=2, keepdims=True)
    spread = (ranks**2).sum(axis=2).prod(axis=1)
    with np.errstate(invalid="ignore"):
        return ranks.prod(axis=1).sum(axis=1) / np.sqrt(np.where(spread > 0, spread, np.nan))
