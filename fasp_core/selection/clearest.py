"""Where a study has its clearest bias: the axis and measure that an app opens on. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fasp_core.selection.description import BiasVerdict
from fasp_core.selection.head_scores import HeadScores
from fasp_core.stats.sample_size import CLEAR


def clearest_axis(scores: HeadScores) -> str | None:
    """The axis whose bias is clearest (see `clarity`), of equals the first; None where there is no axis."""
    return max(scores.axes, key=lambda axis: clarity(scores.verdict(axis)), default=None)


def clearest_metric(by_metric: Mapping[str, HeadScores]) -> str:
    """The metric by which the clearest bias of any axis is seen, of equals the first."""

    def best(scores: HeadScores) -> tuple[bool, float, float]:
        return max((clarity(scores.verdict(axis)) for axis in scores.axes), default=clarity(None))

    return max(by_metric, key=lambda metric: best(by_metric[metric]))


def clarity(verdict: BiasVerdict | None) -> tuple[bool, float, float]:
    """Larger is clearer: a clear bias before any other, then the smaller p-value, then the larger least size.

    The least size is the lower end of the interval in units of what matters, which makes metrics comparable.
    """
    if verdict is None:
        return False, -math.inf, 0.0
    return verdict.state == CLEAR, -verdict.p_value, (verdict.low or 0.0) / verdict.matters
