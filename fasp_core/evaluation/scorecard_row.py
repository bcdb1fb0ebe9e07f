"""One line of a scorecard."""

from __future__ import annotations

from dataclasses import dataclass

from fasp_core.stats.pair_measures import Compared


@dataclass(frozen=True)
class Row:
    """One line of a scorecard; `axis` is None where the measure is of no axis, `source` names what was read."""

    measure: str
    axis: str | None
    source: str
    unit: str  # "share", "nats", "words", "bytes", or "" for a number without one
    compared: Compared
