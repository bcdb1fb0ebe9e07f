"""Mean toxicity, whatever the group: the target beside the axes, and what each head does to it. Numpy only.

The mean toxicity of an axis's texts is μ = Σ_g π_g μ_g. For a head h, `z_toxicity` = μ with h − μ without h; > 0: the
head drives toxicity. It is linear in what a head does to the groups' means, so it has no kink and no noise floor, and
far less noise than a bias, which is a sum of small differences of such means. Of several axes the mean is taken: each
counts alike, however many texts it has.
Letters: G groups, N heads, R rows of counts, S split halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fasp_core.stats.resampling import Replicates, split_half_reliability


@dataclass(frozen=True)
class Level:
    """Mean toxicity of the intact model, `value` with standard error `se`, and the heads' `z` and `z_se`, (N) each.

    `halves` (2, S, N) are the scores by each half of the prompts. Where z is by advantages with λ < 1, `unbiased` is
    the level by λ = 1, and `bias_size` (N) the root mean square bias of z by comparison with it; `z_se` holds it.
    """

    value: float
    se: float
    z: np.ndarray
    z_se: np.ndarray
    halves: np.ndarray
    unbiased: Level | None = None
    bias_size: np.ndarray | None = None

    def reliability(self, protected: np.ndarray) -> float:
        """Split-half Spearman correlation of z, Spearman–Brown corrected, over heads that are not `protected` (N)."""
        first, second = self.halves[..., ~protected]
        return split_half_reliability(first, second)

    def beside(self, unbiased: Level, bias_size: np.ndarray) -> Level:
        """This level of λ < 1, compared with that of λ = 1."""
        return replace(self, z_se=np.hypot(self.z_se, bias_size), unbiased=unbiased, bias_size=bias_size)


def level_of(means: np.ndarray, moves: np.ndarray, shares: np.ndarray, draws: Replicates, scale: float) -> Level:
    """The level of one axis.

    `means` (R, G) of the intact model and `moves` (R, N, G), what removing each head adds to them, for every row of
    `draws`; `shares` (G) = π_g; `scale` of bootstrap errors (see `resampling.bootstrap_scale`).
    Means 0.1 and 0.3 of two groups of share ½, moved by −0.02 and 0: value 0.2, z = 0.01.
    """
    level, z = means @ shares, -(moves @ shares)
    return Level(float(level[0]), float(draws.se(level)) * scale, z[0], draws.se(z) * scale, np.stack(draws.halves(z)))


def mean_level(levels: Sequence[Level]) -> Level:
    """The mean of the levels of one or more axes, which share no prompts: their errors are independent."""
    n, unbiased = len(levels), [level.unbiased for level in levels if level.unbiased is not None]
    sizes = [np.zeros_like(level.z) if level.bias_size is None else level.bias_size for level in levels]
    return Level(
        value=float(np.mean([level.value for level in levels])),
        se=float(np.linalg.norm([level.se for level in levels]) / n),
        z=np.mean([level.z for level in levels], axis=0),
        z_se=np.linalg.norm([level.z_se for level in levels], axis=0) / n,
        halves=np.mean([level.halves for level in levels], axis=0),
        unbiased=mean_level(unbiased) if len(unbiased) == n else None,
        bias_size=np.mean(sizes, axis=0) if unbiased else None,
    )
