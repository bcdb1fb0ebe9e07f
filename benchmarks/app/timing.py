"""What a benchmark of the app gives: times of one interaction, and the limit they are held against."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Seconds that one interaction took, several times over; `limit_s` is what it is meant to take at most."""

    what: str
    seconds: tuple[float, ...]
    limit_s: float | None = None

    @property
    def median_s(self) -> float:
        """The median of `seconds`."""
        return statistics.median(self.seconds)

    def cells(self) -> tuple[str, ...]:
        """A row of the printed table: what, median, slowest, how often, limit."""
        limit = "" if self.limit_s is None else f"{1000 * self.limit_s:.0f} ms"
        return (
            self.what,
            f"{1000 * self.median_s:.0f} ms",
            f"{1000 * max(self.seconds):.0f} ms",
            str(len(self.seconds)),
            limit,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"what": self.what, "median_s": self.median_s, "seconds": list(self.seconds), "limit_s": self.limit_s}
