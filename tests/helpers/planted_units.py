"""Units that end their worker, or fail in it, at a planted shard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fasp_core.errors import InputError
from fasp_core.scoring.run import Run, Unit


@dataclass(frozen=True)
class DeadlyUnit(Unit):
    """Ends its process at once, as often as asked for; `log` counts how often it did."""

    log: Path
    times: int

    def __call__(self, context):
        with open(self.log, "a+") as log:
            log.seek(0)
            if len(log.read()) < self.times:
                log.write("x")
                log.flush()
                os._exit(1)
        return super().__call__(context)


@dataclass(frozen=True)
class FailingUnit(Unit):
    def __call__(self, context):
        raise InputError("this shard cannot be measured")


def planted(name: str, kind: type[Unit], *more) -> object:
    """A `Run._units` whose unit of the shard `name` is of another kind."""
    plain = Run._units

    def units(run: Run, stage, shards) -> Iterator[Unit]:
        for unit in plain(run, stage, shards):
            is_it = stage.name(unit.shard) == name
            yield kind(unit.stage, unit.shard, unit.needed, *more) if is_it else unit

    return units
