"""Whether pruning decisions survive a change of measure: two rankings of the same heads, compared. No torch here.

Two questions, each with its uncertainty: do the measures order the heads alike (Spearman over the heads that γ leaves
unprotected in both), and do they prune the same heads (overlap of the two FASP selections, against what choosing at
random would give)? Noise lowers both. A measured correlation is at most about √(reliability × reliability), which
tells two measures that disagree from two that are merely noisy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

from .bias import spearman
from .errors import InputError
from .head_scores import HeadScores
from .numbers import Z95, format_fixed
from .selection import select_heads


@dataclass(frozen=True)
class Agreement:
    """How far two measures of one axis agree about the heads.

    `spearman` over `n_heads` heads with its 95 % interval `low`…`high` (NaN where it is not defined); `overlap` heads
    are in both selections of `n_pruned` each, `overlap_by_chance` would be if one of them were drawn at random from
    the unprotected heads, and `p_value` is the chance of at least `overlap` then. `ceiling` is the correlation that the
    noise of both measures leaves room for, NaN where a reliability is not known.
    """

    metrics: tuple[str, str]
    axis: str
    gamma: float
    alpha: float
    spearman: float
    low: float
    high: float
    n_heads: int
    overlap: int
    n_pruned: int
    overlap_by_chance: float
    p_value: float
    ceiling: float

    def describe(self) -> str:
        """What was found, in plain words."""
        first, second = self.metrics
        order = f"{first} and {second} order the {self.n_heads:,} unprotected heads "
        if math.isnan(self.spearman):
            order += "in a way that cannot be compared: too few heads, or all alike."
        else:
            interval = f"{format_fixed(self.low, 2)} to {format_fixed(self.high, 2)}"
            order += f"{_alike(self.low, self.high)}: Spearman {format_fixed(self.spearman, 2)} ({interval})."
        parts = [order[:1].upper() + order[1:]]
        if not math.isnan(self.ceiling):
            parts.append(f"The noise of both leaves room for about {format_fixed(self.ceiling, 2)}.")
        if self.n_pruned:
            expected = format_fixed(self.overlap_by_chance, 1)
            parts.append(
                f"Of the {self.n_pruned:,} heads each would prune, {self.overlap:,} {_are(self.overlap)} the same; "
                f"by chance it would be about {expected} ({_probability(self.p_value)}): {self._verdict()}."
            )
        return " ".join(parts)

    def _verdict(self) -> str:
        if self.p_value >= 0.05:
            return "the choice depends on the measure"
        if self.overlap < self.n_pruned / 2:
            return "part of the choice survives the change of measure"
        return "most of the choice survives the change of measure"


def metric_agreement(a: HeadScores, b: HeadScores, *, axis: str, gamma: float = 0.3, alpha: float = 0.1) -> Agreement:
    """How far the scores `a` and `b` of one model agree about `axis`, for the FASP selections at γ and α.

    The interval is Fisher's with Bonett and Wright's standard error, √((1 + ρ²/2) / (n − 3)), over heads. The overlap
    by chance is hypergeometric: `a` keeps its choice, that of `b` is drawn from its unprotected heads.
    Raises InputError for models of different shapes, an axis that one of them lacks, or an impossible γ and α.
    """
    shapes = [(scores.n_layers, scores.heads_per_layer) for scores in (a, b)]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"scores of {shapes[0][0]} layers × {shapes[0][1]} heads and of {shapes[1][0]} × {shapes[1][1]} cannot be "
            "compared; give two measures of one model"
        )
    chosen = [select_heads(scores, "fasp", axis=axis, gamma=gamma, alpha=alpha).roles() for scores in (a, b)]
    free = (chosen[0] != "protected") & (chosen[1] != "protected")
    rho = spearman(a.drive(axis)[free], b.drive(axis)[free])
    low, high = _interval(rho, int(free.sum()))
    pruned = [roles == "pruned" for roles in chosen]
    overlap, n = int((pruned[0] & pruned[1]).sum()), int(pruned[1].sum())
    n_free = int((chosen[1] != "protected").sum())
    chance = hypergeom(n_free, int((pruned[0] & (chosen[1] != "protected")).sum()), n)
    return Agreement(
        metrics=tuple(str(scores.meta.get("metric", "toxicity")) for scores in (a, b)), axis=axis, gamma=float(gamma),
        alpha=float(alpha), spearman=rho, low=low, high=high, n_heads=int(free.sum()), overlap=overlap, n_pruned=n,
        overlap_by_chance=float(chance.mean()) if n else 0.0, p_value=float(chance.sf(overlap - 1)) if n else 1.0,
        ceiling=_ceiling(a, b, axis),
    )  # fmt: skip


def _interval(rho: float, n: int) -> tuple[float, float]:
    if not math.isfinite(rho) or n < 4:
        return math.nan, math.nan
    half = Z95 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    centre = math.atanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    return math.tanh(centre - half), math.tanh(centre + half)


def _ceiling(a: HeadScores, b: HeadScores, axis: str) -> float:
    """√(reliability × reliability); NaN where one is not known, 0 where one is all noise."""
    known = [(scores.meta.get("reliability") or {}).get(axis) for scores in (a, b)]
    if any(value is None or not math.isfinite(value) for value in known):
        return math.nan
    return math.sqrt(max(0.0, known[0]) * max(0.0, known[1]))


def _alike(low: float, high: float) -> str:
    if math.isnan(low) or low <= 0 <= high:
        return "no more alike than chance"
    if high < 0:
        return "against each other"
    return "alike" if low >= 0.5 else "somewhat alike"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _probability(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
