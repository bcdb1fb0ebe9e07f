"""What several measures say of the same heads, side by side, to see whether they agree. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.select_heads import protected_heads


@dataclass(frozen=True, eq=False)
class Measures:
    """`values` (n, k): what each of k measures, by `names`, says of n things; NaN where it says nothing.

    `reliability` (k) is that of a measure's order of the things, None where not known.
    """

    names: tuple[str, ...]
    values: np.ndarray
    reliability: tuple[float | None, ...]


def head_measures(by_metric: Mapping[str, HeadScores], axis: str, *, gamma: float = 0.3) -> Measures:
    """z_bias of `axis` by every metric it was scored by, and z_ppl, of the heads that `gamma` protects in none of them.

    The scores are those of one study.
    """
    scored = {metric: scores for metric, scores in by_metric.items() if axis in scores.axes}
    free = np.ones(next(iter(by_metric.values())).n_heads, bool)
    for scores in by_metric.values():
        free[protected_heads(scores, gamma)] = False
    columns = {f"bias by {metric}": (scores.drive(axis), scores.reliability(axis)) for metric, scores in scored.items()}
    first = next(iter(by_metric.values()))
    columns["perplexity"] = first.importance(), first.intact_ppl.reliability
    values = np.stack([values[free] for values, _ in columns.values()], -1)
    return Measures(tuple(columns), values, tuple(reliability for _, reliability in columns.values()))
