"""The rows of a scorecard as configurations keep them and people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from fasp_core.evaluation.scorecard_result import CHECKPOINT
from fasp_core.evaluation.scorecard_row import Row
from fasp_core.export.provenance import EstimateRecord, Record
from fasp_core.words.numbers import axis_label, format_estimate, format_interval

HEADER = ("measure", "axis", "data", "before", "after", "change (95 % interval)", "")
SPEED = (
    "Speed is not measured: here the heads are switched off, not cut out, and what a compact checkpoint gains depends "
    "on the machine."
)
EXPLORATORY = "Exploratory: heads are chosen on valid. Measure on test before you claim anything."


class ScorecardRow(Record):
    """One measure before and after pruning; `data` names what was read, `unit` is as in `Row`."""

    measure: str
    axis: str | None
    data: str
    unit: str
    before: EstimateRecord
    after: EstimateRecord
    change: EstimateRecord
    verdict: Literal["better", "no clear change", "worse", "changed"]

    @classmethod
    def of(cls, row: Row) -> ScorecardRow:
        """The record of a measured row."""
        parts = {name: EstimateRecord.of(getattr(row.compared, name)) for name in ("before", "after", "change")}
        return cls(
            measure=row.measure, axis=row.axis, data=row.source, unit=row.unit, verdict=row.compared.verdict, **parts
        )

    @property
    def cells(self) -> tuple[str, ...]:
        """The row in words, as many cells as HEADER has; the last is the verdict."""
        unit = "" if self.unit in ("", "share") else f", {self.unit}"
        return (
            f"{self.measure}{unit}",
            axis_label(self.axis) if self.axis else "",
            self.data,
            *(format_estimate(each.value, each.se) for each in (self.before, self.after)),
            f"{format_estimate(self.change.value, self.change.se, signed=True)} ({self._how_sure()})",
            self.verdict,
        )

    def _how_sure(self) -> str:
        """The interval of the change in words; where no item changed, resampling has nothing to tell of others."""
        if self.data == CHECKPOINT:
            return "exact"
        low, high = (math.nan if end is None else end for end in (self.change.low, self.change.high))
        return "nothing changed" if low == high == 0 else format_interval(low, high, signed=True)


def scorecard_notes(split: str, n_rows: int) -> list[str]:
    """What must be known to read a scorecard: what a claim needs, and what chance alone does."""
    chance = f"Each interval leaves out 0 by chance once in 20 times: of {n_rows} rows about {math.ceil(n_rows / 20)}."
    return [*([] if split == "test" else [EXPLORATORY]), *([chance, SPEED] if n_rows else [])]


def scorecard_tables(
    cards: Mapping[Literal["valid", "test"], Sequence[ScorecardRow]],
) -> list[tuple[str, list[tuple[str, ...]], list[str]]]:
    """The scorecards of a configuration as the templates take them: split, rows of cells, sentences to read them by."""
    return [(split, [row.cells for row in rows], scorecard_notes(split, len(rows))) for split, rows in cards.items()]
