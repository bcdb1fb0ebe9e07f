"""How often each kind of fault was tried, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Tally:
    """How often each kind of fault was tried, and what went wrong."""

    tried: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def count(self, kind: str) -> None:
        """One more try."""
        self.tried[kind] = self.tried.get(kind, 0) + 1

    def check(self, kind: str, good: bool, what: str) -> None:
        """Note `what` unless all is good."""
        if not good:
            self.problems.append(f"{kind}: {what}")


def temporaries(root: Path) -> list[Path]:
    """Files that are there for a moment only."""
    return sorted(path for path in root.rglob("*") if path.name.endswith((".partial", ".replaced", ".replacement")))
