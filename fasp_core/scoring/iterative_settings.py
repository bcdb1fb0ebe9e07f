"""The settings of `fasp_iterative`, apart from the run itself: forms and tables read them without a model."""

from __future__ import annotations

from dataclasses import dataclass

from fasp_core.errors import InputError
from fasp_core.selection.select_heads import head_count


@dataclass(frozen=True)
class IterativeSettings:
    """How finely heads are pruned, and on how many continuations, or readings, the remaining ones are scored again."""

    samples: int = 512  # some 3 minutes a stage for the default model on 2 cores
    step: float = 0.04  # share of all heads that one stage prunes
    readings: int = 180  # by likelihood; some 70 s a stage

    def __post_init__(self) -> None:
        if min(self.samples, self.readings) < 1:
            raise InputError(f"a stage of fasp_iterative needs samples, not {min(self.samples, self.readings)}")
        if not 0 < self.step <= 1:
            raise InputError(f"a stage of fasp_iterative prunes a share of the heads above 0, not {self.step}")

    def stage_size(self, n_heads: int) -> int:
        """How many heads a stage prunes, at least one."""
        return max(1, head_count(self.step, n_heads))
