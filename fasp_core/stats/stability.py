"""How far the top of a ranking would hold if everything were measured again. Numpy only.

A score is its true value plus an error. Where heads truly differ little, the top of the list is mostly luck, and luck
is not measured twice. So a second measurement is drawn for the heads by empirical Bayes (Efron and Morris 1973): true
values are taken to be spread normally with the variance that the errors do not explain, each head's own is then what
its score leaves of it, and a new error is added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 400


@dataclass(frozen=True)
class TopOverlap:
    """Of the `k` heads with the highest scores, how many would be there again: expected, and in 95 % of cases.

    `by_chance` is what a list without any truth in it would repeat: k² / N.
    """

    k: int
    expected: float
    low: int
    high: int
    by_chance: float


def top_overlap(z: np.ndarray, z_se: np.ndarray, *, k: int = 20, seed: int = 0) -> TopOverlap | None:
    """What a second measurement with the same errors would keep of the top `k` of `z`, (N); higher z = nearer the top.

    None where it cannot be told: without errors, or with no more than `k` heads.
    """
    z, z_se = np.asarray(z, float), np.asarray(z_se, float)
    known = np.isfinite(z) & np.isfinite(z_se)
    z, z_se = z[known], z_se[known]
    if z.size <= k or not (z_se > 0).any():
        return None
    truth = max(0.0, float(z.var(ddof=1) - (z_se**2).mean()))  # variance of the true values
    kept = truth / (truth + z_se**2) if truth > 0 else np.zeros_like(z)  # how much of a score is not luck
    mean = z.mean() + kept * (z - z.mean())
    spread = np.sqrt(kept * z_se**2 + z_se**2)
    again = mean + spread * np.random.default_rng(seed).standard_normal((DRAWS, z.size))
    top = np.argsort(-z, kind="stable")[:k]
    stays = (np.argpartition(-again, k - 1, axis=1)[:, :k, None] == top).any(axis=-1).sum(axis=1)
    low, high = np.quantile(stays, [0.025, 0.975], method="closest_observation")
    return TopOverlap(k, float(stays.mean()), int(low), int(high), k * k / z.size)
