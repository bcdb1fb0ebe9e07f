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
from scipy.special import gammaln

from fasp_core.errors import InputError
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.select_heads import select_heads
from fasp_core.stats.normal import Z95
from fasp_core.stats.resampling import spearman


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
    can_fall = chosen[1] != "protected"  # on these heads the choice of `b` can fall
    n_free, taken = int(can_fall.sum()), int((pruned[0] & can_fall).sum())
    return Agreement(
        metrics=(a.meta.metric or "toxicity", b.meta.metric or "toxicity"),
        axis=axis,
        gamma=float(gamma),
        alpha=float(alpha),
        spearman=rho,
        low=low,
        high=high,
        n_heads=int(free.sum()),
        overlap=overlap,
        n_pruned=n,
        overlap_by_chance=taken * n / n_free if n else 0.0,
        p_value=_chance_of_overlap(overlap, n_free, taken, n),
        ceiling=_ceiling(a, b, axis),
    )


def _interval(rho: float, n: int) -> tuple[float, float]:
    if not math.isfinite(rho) or n < 4:
        return math.nan, math.nan
    half = Z95 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    centre = math.atanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    return math.tanh(centre - half), math.tanh(centre + half)


def _chance_of_overlap(least: int, n: int, taken: int, drawn: int) -> float:
    """The hypergeometric chance that `drawn` of n heads hold at least `least` of the `taken` ones."""
    if least <= max(0, taken + drawn - n):
        return 1.0
    hits = np.arange(least, min(taken, drawn) + 1)
    log_chance = _log_choose(taken, hits) + _log_choose(n - taken, drawn - hits) - _log_choose(n, drawn)
    return min(1.0, float(np.exp(log_chance).sum()))


def _log_choose(n: int, k: np.ndarray | int) -> np.ndarray:
    """The logarithm of the number of ways to choose k of n."""
    return gammaln(n + 1) - gammaln(np.asarray(k) + 1) - gammaln(n - np.asarray(k) + 1)


def _ceiling(a: HeadScores, b: HeadScores, axis: str) -> float:
    """√(reliability × reliability); NaN where one is not known, 0 where one is all noise."""
    of_a, of_b = (scores.reliability(axis) for scores in (a, b))
    if of_a is None or of_b is None:
        return math.nan
    return math.sqrt(max(0.0, of_a) * max(0.0, of_b))
