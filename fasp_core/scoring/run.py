"""Filling a study: measure the shards of a stage that are not on disk yet, and keep each as soon as it is whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Generic, TypeVar

import pyarrow as pa

from fasp_core.cluster.cluster import Cluster
from fasp_core.cluster.ordered import in_process
from fasp_core.progress import ProgressCallback, StageClock, check_stop
from fasp_core.scoring.context import ContextSetup, RunContext
from fasp_core.scoring.stage import Some, Stage
from fasp_core.study.study import Study

R = TypeVar("R")


@dataclass(frozen=True)
class Unit(Generic[Some]):
    """One shard to be measured, in whatever process: all that it takes beside a context."""

    stage: Stage[Some]
    shard: Some
    needed: Mapping[str, pa.Table]

    def __call__(self, context: RunContext) -> tuple[pa.Table, float]:
        """The shard's table, and the seconds that it took."""
        started = time.monotonic()
        return self.stage.table(self.shard, context, self.needed), time.monotonic() - started


@dataclass
class Run:
    """One run that measures a study; `seconds` and `units` add up what each stage took, by its title.

    Use it inside the study's `writing()` and `remembering()`: shards are then handed on to later stages in memory.
    With a `cluster` its workers measure the shards; what is written, and in which order, is the same.
    """

    study: Study
    context: RunContext
    progress: ProgressCallback | None = None
    what: str = "scoring"  # in the message of a stop
    cluster: Cluster | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)

    @property
    def all_heads(self) -> list[int]:
        """Flat ids of the model's heads."""
        return list(range(self.context.lm.layout.n_heads))

    @property
    def at_once(self) -> int:
        """How many shards can be measured at the same time."""
        return 1 if self.cluster is None else self.cluster.n_workers

    @cached_property
    def _setup(self) -> ContextSetup:
        return ContextSetup.of(self.context)

    def each(self, tasks: Iterable[Callable[[RunContext], R]]) -> Iterator[R]:
        """The tasks' results, in order; raises Cancelled between tasks once told to stop."""
        check = partial(check_stop, self.context.stop, self.what, resumes=True)
        if self.cluster is None:
            return in_process(self.context, tasks, check)
        return self.cluster.map(self._setup, tasks, check)

    def fill(self, stage: Stage[Some]) -> None:
        """Measure and store what the study lacks of a stage; raises Cancelled between shards once told to stop."""
        if not stage.shards:
            return
        lacking = self.study.unmeasured(map(stage.name, stage.shards))
        missing = [shard for shard in stage.shards if stage.name(shard) in lacking]
        total = sum(shard.size for shard in stage.shards)
        already = total - sum(shard.size for shard in missing)
        clock = StageClock(stage.title, total, stage.unit, self.progress, already=already)
        for shard, (table, seconds) in zip(missing, self.each(self._units(stage, missing)), strict=True):
            self.study.write_shard(stage.name(shard), table)
            self.seconds[stage.title] = self.seconds.get(stage.title, 0.0) + seconds
            self.units[stage.title] = self.units.get(stage.title, 0) + shard.size
            clock.step(shard.size)

    def _units(self, stage: Stage[Some], shards: Iterable[Some]) -> Iterator[Unit[Some]]:
        """What it takes to measure the shards; read when its turn comes."""
        for shard in shards:
            needs = stage.needs(shard, self.context.settings)
            yield Unit(stage, shard, {name: self.study.read_shard(name) for name in needs})

    def cost(self, *titles: str) -> float | None:
        """Seconds per unit of stages taken together; None until this run has measured each of them."""
        if not all(self.units.get(title) for title in titles):
            return None
        return sum(self.seconds[title] / self.units[title] for title in titles)
