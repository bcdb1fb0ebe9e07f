"""Where the next minute of measuring is best spent: pure functions of estimates, errors and costs.

A user acts on a selection: which heads are protected (z_ppl above the γ cut) and which are pruned (z_bias above the α
cut). So the measure of a ranking is the *expected number of heads on the wrong side of the cut*,

    J = Σ_h Φ(−|z_h − cut| / se_h),

and the next step is the one that lowers J most per second. Heads far from the cut add nothing to J, so no time is spent
on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

# Until a knock-out has been seen, a first-order score may be off by this share of itself, and the correction's
# variance per sample is taken to be this share of the gradient's (5–20 % when measured).
UNSEEN_ERROR, UNSEEN_VARIANCE = 0.25, 0.2


MOST_HEADS = 64  # that one step knocks out


@dataclass(frozen=True)
class Ranking:
    """One ranking to be cut: scores z (N), the standard errors of their gradient part over `n` units and of their
    correction (NaN where not measured) over `m` units, which heads take part, and the cut's value."""

    z: np.ndarray
    gradient_se: np.ndarray
    correction_se: np.ndarray
    n: int
    m: np.ndarray
    candidates: np.ndarray
    cut: float

    def variance(self, *, more_n: int = 0, more_m: np.ndarray | int = 0) -> np.ndarray:
        """Variance of each score now, or after `more_n` gradient units and `more_m` knock-out units, (N)."""
        gradient = self.gradient_se**2 * self.n / (self.n + more_n)
        per_unit = np.where(
            np.isfinite(self.correction_se),
            np.nan_to_num(self.correction_se) ** 2 * self.m,
            UNSEEN_VARIANCE * self.gradient_se**2 * self.n,
        )
        m = self.m + more_m
        unseen = (UNSEEN_ERROR * self.z) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            correction = np.where(m > 0, per_unit / m, unseen)
        return gradient + correction

    def wrong(self, variance: np.ndarray) -> np.ndarray:
        """Each head's chance of being on the wrong side of the cut, (N); 0 for heads that take no part."""
        with np.errstate(divide="ignore", invalid="ignore"):
            chance = ndtr(-np.abs(self.z - self.cut) / np.sqrt(variance))
        return np.where(self.candidates, np.nan_to_num(chance), 0.0)

    def expected_wrong(self) -> float:
        """J: the expected number of heads on the wrong side now."""
        return float(self.wrong(self.variance()).sum())

    def uncertain(self, *, chance: float = 0.05) -> np.ndarray:
        """Flat ids of the heads whose side is not yet known with this chance of error, most uncertain first."""
        wrong = self.wrong(self.variance())
        ids = np.flatnonzero(wrong > chance)
        return ids[np.argsort(-wrong[ids], kind="stable")]


@dataclass(frozen=True)
class Step:
    """A possible next step for a stream; `heads` is empty for more gradient units."""

    stream: str
    heads: tuple[int, ...]
    gain_per_second: float


def cut_value(z: np.ndarray, taking_part: np.ndarray, count: int) -> float:
    """Midway between the last score that is taken and the first that is not; ±inf where all or none are taken."""
    order = np.sort(z[taking_part])[::-1]
    if count <= 0:
        return np.inf
    if count >= order.size:
        return -np.inf
    return float((order[count - 1] + order[count]) / 2)


def best_step(
    stream: str,
    ranking: Ranking,
    *,
    gradient_units: int,
    gradient_seconds: float,
    knockout_units: int,
    knockout_seconds_per_head: float,
) -> Step:
    """The better of two steps for a stream, by the fall of J per second.

    More gradient units (all heads at once; 0 units where the stream has no more), or knock-out units for the heads
    whose side is uncertain. Seconds are for that many units.
    """
    now = ranking.expected_wrong()
    after = float(ranking.wrong(ranking.variance(more_n=gradient_units)).sum())
    steps = [Step(stream, (), (now - after) / gradient_seconds if gradient_units else 0.0)]
    heads = ranking.uncertain()[:MOST_HEADS]
    if heads.size and knockout_units:
        more = np.zeros(ranking.z.size)
        more[heads] = knockout_units
        gain = now - float(ranking.wrong(ranking.variance(more_m=more)).sum())
        steps.append(Step(stream, tuple(sorted(map(int, heads))), gain / (knockout_seconds_per_head * heads.size)))
    return max(steps, key=lambda step: step.gain_per_second)
