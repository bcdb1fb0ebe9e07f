"""What `fasp_joint` judges a set of heads by: every group's gap after the heads are removed.

Each head is a vector, what its removal adds to every group's gap, μ − μ_g, and a set S is expected to leave the bias

    Σ_g E |gap_g + Σ_{h∈S} effect_hg|,

each term the mean of a folded normal distribution with the posterior mean and variance of that gap. Gaps and effects
are shrunk towards 0 by what their errors leave of them (empirical Bayes): a badly measured head brings little mean and
much variance, and closes no gap. Effects are added up and errors taken as independent between heads: how heads work
together is not known here, so measure the set.
Letters: N heads, G groups. Numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fasp_core.stats.noise_floor import folded_mean
from fasp_core.stats.shrinkage import posterior_moments


@dataclass(frozen=True, eq=False)
class Target:
    """What a set of heads is judged by: the gaps of the intact model and what each head's removal adds to them.

    `value` (G), `variance` (G), `effect` (N, G) and `effect_variance` (N, G) are posterior means and variances.
    """

    value: np.ndarray
    variance: np.ndarray
    effect: np.ndarray
    effect_variance: np.ndarray

    def expected(self, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Σ_G E|gap| for means and variances (…, G); the shape is (…)."""
        return folded_mean(np.abs(mean), np.sqrt(np.maximum(variance, 0.0))).sum(-1)

    def left(self, heads: np.ndarray) -> float:
        """The bias that a set of flat ids is expected to leave."""
        mean, variance = self.value + self.effect[heads].sum(0), self.variance + self.effect_variance[heads].sum(0)
        return float(self.expected(mean, variance))


def bias_target(
    gaps: np.ndarray, gaps_se: np.ndarray, effects: np.ndarray, effects_se: np.ndarray, free: np.ndarray
) -> Target:
    """The target from measured gaps (G) and what removing each head adds to them (N, G), with standard errors.

    Only the heads `free` (N) bool may be chosen: the priors are fitted on them, and the others' effects are left at 0.
    """
    effect, effect_variance = np.zeros_like(effects), np.zeros_like(effects)
    for g in range(gaps.size if free.any() else 0):
        effect[free, g], effect_variance[free, g] = posterior_moments(effects[free, g], effects_se[free, g])
    return Target(*_shrunk(gaps, gaps_se**2), effect, effect_variance)


def _shrunk(value: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and variance of gaps (G) under a normal prior around 0, whose variance is what errors leave."""
    prior = max(0.0, float((value**2 - variance).mean()))
    if prior == 0.0:
        return np.zeros_like(value), np.zeros_like(value)
    share = prior / (prior + variance)
    return share * value, share * variance
