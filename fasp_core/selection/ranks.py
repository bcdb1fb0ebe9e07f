"""Where a head stands in a ranking, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fasp_core.head import Head, flat_id, head_of
from fasp_core.selection.head_scores import HeadScores
from fasp_core.stats.normal import Z95

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


def head_lines(scores: HeadScores, head: Head) -> list[HeadLine]:
    """z_ppl, then z_bias of each axis (and z_toxicity), of one head."""
    flat = flat_id(head, scores.heads_per_layer)
    by_axis = [_head_line(axis, scores.z_bias(axis), scores.z_bias_se(axis), flat) for axis in scores.targets]
    return [_head_line(None, scores.z_ppl, scores.z_ppl_se, flat), *by_axis]


def _head_line(axis: str | None, z: np.ndarray, se: np.ndarray, flat: int) -> HeadLine:
    """Rank interval: each score is redrawn from its own error, independently, and the head is ranked again."""
    rank = 1 + int((z > z[flat]).sum())
    draws = z + np.nan_to_num(se) * np.random.default_rng(0).standard_normal((RANK_DRAWS, z.size))
    ranks = 1 + (draws > draws[:, [flat]]).sum(axis=1)
    low, high = np.quantile(ranks, [0.025, 0.975], method="closest_observation").astype(int)
    half = Z95 * se[flat]
    return HeadLine(
        axis,
        float(z[flat]),
        float(se[flat]),
        float(z[flat] - half),
        float(z[flat] + half),
        rank,
        min(int(low), rank),
        max(int(high), rank),
    )


def strongest_head(scores: HeadScores, axis: str) -> Head:
    """The head with the highest z_bias of those whose 95 % interval lies above 0 or, where none does, of all.

    The highest score of all is often that of a head with a large error. Ties go to the lowest flat id, heads that were
    not measured come last, and an error that is not known is taken for 0.
    """
    z = np.nan_to_num(scores.z_bias(axis), nan=-np.inf)
    clear = z > Z95 * np.nan_to_num(scores.z_bias_se(axis))
    return head_of(int(np.argmax(np.where(clear, z, -np.inf) if clear.any() else z)), scores.heads_per_layer)
