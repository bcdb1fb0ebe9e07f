"""Metrics with numbers made by hand."""

from __future__ import annotations

import math

from fasp_core.evaluation.result import Metrics
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.paired import AxisMetrics

UNKNOWN = Estimate(math.nan, math.nan, 0)


def made_metrics(
    ppl: Estimate,
    bias: dict[str, Estimate],
    *,
    groups: dict[str, dict[str, Estimate]] | None = None,
    corrected: dict[str, Estimate] | None = None,
    degeneration: dict[str, Estimate] | None = None,
) -> Metrics:
    """Metrics from values by axis; what noise does to a bias is unknown where it is not given."""
    axes = {
        axis: AxisMetrics(value, (groups or {}).get(axis, {}), (corrected or {}).get(axis, UNKNOWN))
        for axis, value in bias.items()
    }
    return Metrics(ppl, axes, degeneration or {})
