"""Filling a study: measure the shards of a stage that are not on disk yet, and keep each as soon as it is whole."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from fasp_core.progress import ProgressCallback, StageClock, check_stop
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.stage import Some, Stage
from fasp_core.study.study import Study


@dataclass
class Run:
    """One run that measures a study; `seconds` and `units` add up what each stage took, by its title.

    Use it inside the study's `writing()` and `remembering()`: shards are then handed on to later stages in memory.
    """

    study: Study
    context: RunContext
    progress: ProgressCallback | None = None
    what: str = "scoring"  # in the message of a stop
    seconds: dict[str, float] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)

    @property
    def all_heads(self) -> list[int]:
        """Flat ids of the model's heads."""
        return list(range(self.context.lm.layout.n_heads))

    def fill(self, stage: Stage[Some]) -> None:
        """Measure and store what the study lacks of a stage; raises Cancelled between shards once told to stop."""
        if not stage.shards:
            return
        missing = [shard for shard in stage.shards if not self.study.is_measured(stage.name(shard))]
        total = sum(shard.size for shard in stage.shards)
        already = total - sum(shard.size for shard in missing)
        clock = StageClock(stage.title, total, stage.unit, self.progress, already=already)
        for shard in missing:
            check_stop(self.context.stop, self.what, resumes=True)
            started = time.monotonic()
            needed = {name: self.study.read_shard(name) for name in stage.needs(shard, self.context.settings)}
            self.study.write_shard(stage.name(shard), stage.table(shard, self.context, needed))
            self.seconds[stage.title] = self.seconds.get(stage.title, 0.0) + time.monotonic() - started
            self.units[stage.title] = self.units.get(stage.title, 0) + shard.size
            clock.step(shard.size)

    def cost(self, *titles: str) -> float | None:
        """Seconds per unit of stages taken together; None until this run has measured each of them."""
        if not all(self.units.get(title) for title in titles):
            return None
        return sum(self.seconds[title] / self.units[title] for title in titles)
