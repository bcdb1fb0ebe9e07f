"""How many of the top heads would be on top again if everything were measured again. Numpy only.

A score is a true value plus an error. Where the true values differ little, the top of the list is mostly luck, and
a second measurement would have other luck. So second measurements are simulated by empirical Bayes: each head's true
value is drawn from what is known of it (a mixture of normal distributions, see `shrinkage`), and a new error is added.
A single normal distribution would not do: a few heads with large errors would explain all that heads differ by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fasp_core.stats.shrinkage import posterior_draws

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
    rng = np.random.default_rng(seed)
    again = posterior_draws(z, z_se, DRAWS, rng) + z_se * rng.standard_normal((DRAWS, z.size))
    top = np.argsort(-z, kind="stable")[:k]
    stays = (np.argpartition(-again, k - 1, axis=1)[:, :k, None] == top).any(axis=-1).sum(axis=1)
    low, high = np.quantile(stays, [0.025, 0.975], method="closest_observation")
    return TopOverlap(k, float(stays.mean()), int(low), int(high), k * k / z.size)
