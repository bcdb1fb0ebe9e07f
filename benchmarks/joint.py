"""True bias left by `fasp` and by `fasp_joint` on made-up studies, by how reliably heads are measured.

A study has 6 groups and 270 heads, as the default model has. What removing a head adds to each group's mean toxicity is
drawn with heavy tails, partly the same for all groups, and measured with errors of unequal size; so are the groups'
means. Reliability is the share of the measured effects' variance that is not error. Sizes are such that the ten per
cent of heads that `fasp` picks at a reliability of 0.5 promise to remove about twice the bias there is. Both rules see
the measured numbers only; what is left is computed from the true ones. `benchmarks.selection` prints the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fasp_core.selection.joint import choose_jointly
from fasp_core.selection.joint_target import Target, bias_target
from fasp_core.stats.bias import axis_bias
from fasp_core.stats.noise_floor import group_gaps

HEADS, GROUPS, CHOSEN, PROTECTED = 270, 6, 27, 81
RELIABILITIES = (0.1, 0.3, 0.5, 0.7, 0.9)
MEAN, SPREAD, MEAN_SE = 0.07, 0.02, 0.004  # of the groups' mean toxicities, and how well these are known
SIZE = 0.08  # spread of what heads do, as a share of SPREAD


@dataclass(frozen=True)
class MadeStudy:
    """True and measured group means (G) and effects (N, G) with standard errors; `free` (N) are unprotected heads."""

    shares: np.ndarray
    means: np.ndarray
    effects: np.ndarray
    measured_means: np.ndarray
    means_se: np.ndarray
    measured_effects: np.ndarray
    effects_se: np.ndarray
    free: np.ndarray

    @property
    def bias(self) -> float:
        """The intact model's, in truth."""
        return float(axis_bias(self.means, self.shares))

    def bias_without(self, heads: np.ndarray) -> float:
        """The true bias once these flat ids are removed."""
        return float(axis_bias(self.means + self.effects[heads].sum(0), self.shares))

    def fasp(self, count: int = CHOSEN) -> tuple[np.ndarray, float]:
        """The unprotected heads of the highest measured z_bias, and the share of the bias that they promise to take."""
        bias = axis_bias(self.measured_means, self.shares)
        z = np.where(self.free, bias - axis_bias(self.measured_means + self.measured_effects, self.shares), -np.inf)
        chosen = np.argsort(-z, kind="stable")[:count]
        return chosen, float(z[chosen].sum() / bias)

    def joint(self, count: int = CHOSEN, *, exactly: bool = False) -> np.ndarray:
        """The heads of `fasp_joint`."""
        return np.array(choose_jointly(self.target(), self.free, count, exactly=exactly).heads, dtype=int)

    def target(self) -> Target:
        """What `fasp_joint` judges sets by."""
        known = (self.measured_means, self.means_se, self.measured_effects, self.effects_se)
        return target_of_means(*known, self.shares, self.free)


def target_of_means(
    means: np.ndarray,
    means_se: np.ndarray,
    effects: np.ndarray,
    effects_se: np.ndarray,
    shares: np.ndarray,
    free: np.ndarray,
) -> Target:
    """The target from groups' means (G) and what removing each head adds to them (N, G); errors are independent."""
    contrast = group_gaps(np.eye(shares.size), shares).T  # (G, G): gaps = contrast @ means
    errors = [np.sqrt(se**2 @ (contrast**2).T) for se in (means_se, effects_se)]
    return bias_target(contrast @ means, errors[0], effects @ contrast.T, errors[1], free)


def made_study(reliability: float, rng: np.random.Generator, *, groups: int = GROUPS, size: float = SIZE) -> MadeStudy:
    """One study, drawn; `reliability` 1 is a study without error in its effects."""
    shares = rng.dirichlet(np.full(groups, 5.0))
    means = MEAN + SPREAD * rng.normal(size=groups)
    strength = size * SPREAD * rng.standard_t(3, size=(HEADS, 1)) / np.sqrt(3)
    effects = strength * (rng.normal(size=(HEADS, 1)) + rng.normal(size=(HEADS, groups)))
    contrast = group_gaps(np.eye(groups), shares).T
    noise = np.exp(0.4 * rng.normal(size=(HEADS, 1)) + 0.2 * rng.normal(size=(1, groups)))
    scale = ((effects @ contrast.T) ** 2).mean() / (noise**2 @ (contrast**2).T).mean()
    noise *= np.sqrt((1 - reliability) / reliability * scale)
    means_se = np.full(groups, MEAN_SE)
    free = np.ones(HEADS, bool)
    free[rng.permutation(HEADS)[:PROTECTED]] = False
    return MadeStudy(
        shares=shares,
        means=means,
        effects=effects,
        measured_means=means + means_se * rng.normal(size=groups),
        means_se=means_se,
        measured_effects=effects + noise * rng.normal(size=effects.shape),
        effects_se=noise,
        free=free,
    )


def bias_left(repeats: int, reliability: float, **shape: float) -> dict[str, np.ndarray]:
    """Of each study the true bias, intact and without the heads of each rule, and what `fasp` promised: (repeats)."""
    rows = []
    for repeat in range(repeats):
        study = made_study(reliability, np.random.default_rng(repeat), **shape)
        fasp, promised = study.fasp()
        joint, exactly = study.joint(), study.joint(exactly=True)
        rows.append(
            {
                "intact": study.bias,
                "promised": promised,
                "fasp": study.bias_without(fasp),
                "fasp_joint": study.bias_without(joint),
                "fasp_joint, exactly": study.bias_without(exactly),
                "heads": joint.size,
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
