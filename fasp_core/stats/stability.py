"""How many of the top heads would be on top again if everything were measured again. Numpy only.

A score is a true value plus an error. Where the true values differ little, the top of the list is mostly luck, and
a second measurement would have other luck. So second measurements are simulated by empirical Bayes (Efron and Morris
1973): true values are assumed normal, with the variance that the errors do not explain; each head's true value is drawn
from its posterior, and a new error is added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 400


@dataclass(frozen=True)
class TopOverlap:
    """How many of the `k` highest heads would be among the `k` highest again: the expected number and a 95 % interval.

    `by_chance` is what a random order would repeat: k² / N.
    """

    k: int
    expected: float
    low: int
    high: int
    by_chance: float


def top_overlap(z: np.ndarray, z_se: np.ndarray, *, k: int = 20, seed: int = 0) -> TopOverlap | None:
    """What a second measurement with the same errors would keep of the `k` highest of `z`, (N).

    None without errors, or with no more than `k` heads.
    """
    z, z_se = np.asarray(z, float), np.asarray(z_se, float)
    known = np.isfinite(z) & np.isfinite(z_se)
    z, z_se = z[known], z_se[known]
    if z.size <= k or not (z_se > 0).any():
        return None
    truth = max(0.0, float(z.var(ddof=1) - (z_se**2).mean()))  # variance of the true values
    kept = truth / (truth + z_se**2) if truth > 0 else np.zeros_like(z)  # the share of a score that is not luck
    mean = z.mean() + kept * (z - z.mean())
    spread = np.sqrt(kept * z_se**2 + z_se**2)
    again = mean + spread * np.random.default_rng(seed).standard_normal((DRAWS, z.size))
    top = np.argsort(-z, kind="stable")[:k]
    stays = (np.argpartition(-again, k - 1, axis=1)[:, :k, None] == top).any(axis=-1).sum(axis=1)
    low, high = np.quantile(stays, [0.025, 0.975], method="closest_observation")
    return TopOverlap(k, float(stays.mean()), int(low), int(high), k * k / z.size)
