"""One head, or a set of heads, in numbers: what the panels beside the maps show. Pure functions of `HeadScores`.

The prediction for a set is the sum of its heads' scores. That ignores how heads work together, and because heads are
chosen for a high z_bias, their noise makes the predicted drop in bias too large: it is a guess to be measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .estimates import Estimate
from .head_scores import HeadScores
from .numbers import Z95
from .selection import Head

RANK_DRAWS = 400


@dataclass(frozen=True)
class HeadLine:
    """One score of one head; rank 1 is the highest score, `rank_low` to `rank_high` its 95 % interval.

    `axis` is None for z_ppl. Without a standard error, `se`, `low` and `high` are NaN and the ranks coincide.
    """

    axis: str | None
    value: float
    se: float
    low: float
    high: float
    rank: int
    rank_low: int
    rank_high: int


@dataclass(frozen=True)
class Predicted:
    """One metric of the intact model (None where not known), and its change by pruning as the scores add up."""

    before: Estimate | None
    change: float

    @property
    def after(self) -> float | None:
        """The metric after pruning, None where the intact model's is not known."""
        return None if self.before is None else self.before.value + self.change

    @property
    def impossible(self) -> bool:
        """Whether noise makes the scores add up to a negative value, which neither perplexity nor bias can have."""
        return self.after is not None and self.after < 0


@dataclass(frozen=True)
class Prediction:
    """What single-head scores add up to for a set of heads."""

    ppl: Predicted
    bias: Predicted


def head_lines(scores: HeadScores, head: Head) -> list[HeadLine]:
    """z_ppl, then z_bias of each axis, of one head."""
    flat = head[0] * scores.heads_per_layer + head[1]
    columns = [(None, scores.z_ppl, scores.z_ppl_se)]
    columns += [(axis, scores.z_bias(axis), scores.z_bias_se(axis)) for axis in scores.axes]
    return [_head_line(axis, z, se, flat) for axis, z, se in columns]


def _head_line(axis: str | None, z: np.ndarray, se: np.ndarray, flat: int) -> HeadLine:
    """Rank interval: each score is redrawn from its own error, independently, and the head is ranked again."""
    rank = 1 + int((z > z[flat]).sum())
    draws = z + np.nan_to_num(se) * np.random.default_rng(0).standard_normal((RANK_DRAWS, z.size))
    ranks = 1 + (draws > draws[:, [flat]]).sum(axis=1)
    low, high = np.quantile(ranks, [0.025, 0.975], method="closest_observation").astype(int)
    half = Z95 * se[flat]
    return HeadLine(
        axis, float(z[flat]), float(se[flat]), float(z[flat] - half), float(z[flat] + half),
        rank, min(int(low), rank), max(int(high), rank),
    )  # fmt: skip


def strongest_head(scores: HeadScores, axis: str) -> Head:
    """The head with the highest z_bias; ties go to the lowest flat id, and heads that were not measured come last."""
    layer, head = divmod(int(np.argmax(np.nan_to_num(scores.z_bias(axis), nan=-np.inf))), scores.heads_per_layer)
    return layer, head


def predict_effect(scores: HeadScores, pruned: Iterable[Head], axis: str) -> Prediction:
    """Sum of single-head effects: perplexity rises by Σ z_ppl, bias of `axis` falls by Σ z_bias."""
    flat = [layer * scores.heads_per_layer + head for layer, head in pruned]
    return Prediction(
        ppl=Predicted(base_ppl(scores), float(scores.z_ppl[flat].sum())),
        bias=Predicted(base_bias(scores, axis), -float(scores.z_bias(axis)[flat].sum())),
    )


def base_ppl(scores: HeadScores) -> Estimate | None:
    """Perplexity of the intact model as the study measured it; None where the scores do not tell."""
    return _estimate(scores.meta.get("base_ppl"), scores.meta.get("base_ppl_se"), 0)


def base_bias(scores: HeadScores, axis: str) -> Estimate | None:
    """Bias of the intact model on `axis` as the study measured it; None where the scores do not tell."""
    value, se, n = ((scores.meta.get(key) or {}).get(axis) for key in ("base_bias", "base_bias_se", "n_samples"))
    return _estimate(value, se, n or 0)


def base_bias_floor(scores: HeadScores, axis: str) -> float | None:
    """The bias of `axis` that noise alone would give with the study's texts; None where the scores do not tell."""
    return (scores.meta.get("bias_floor") or {}).get(axis)


def base_bias_corrected(scores: HeadScores, axis: str) -> Estimate | None:
    """Bias of the intact model on `axis` without what noise adds to it; None where the scores do not tell."""
    keys = ("base_bias_corrected", "base_bias_corrected_se", "n_samples")
    value, se, n = ((scores.meta.get(key) or {}).get(axis) for key in keys)
    return _estimate(value, se, n or 0)


def _estimate(value: float | None, se: float | None, n: int) -> Estimate | None:
    return None if value is None else Estimate(value, math.nan if se is None else se, n)
