"""A kind of measurement on one stream, cut into shards that are measured one by one.

A *stream* is `text` or an axis. Its *units* (text windows, continuations, prompts) have a fixed order, so every shard
has one name and one content, whoever measures it and when. A stage holds plain data only: stage, shard and the tables
that `needs` names can be sent to another process, which measures the shard with a `RunContext` of its own.

To add a kind: name its shards in `study.shard_names`, write a `Stage` of it, fill it in `score_heads`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from fasp_core.scoring.context import RunContext, residuals_fitted_on
from fasp_core.study.manifest import StudySettings
from fasp_core.study.shard_tables import with_calibration


@dataclass(frozen=True)
class Shard:
    """Some units of a stream; of kinds that measure heads one by one, also the flat ids of those heads."""

    number: int
    units: range
    heads: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """Measurements in the shard: units, or units × heads."""
        return len(self.units) * (1 if self.heads is None else len(self.heads))


class Piece(Protocol):
    """What a stage measures at once: a shard, mostly; its `size` is what progress counts."""

    @property
    def size(self) -> int: ...


Some = TypeVar("Some", bound=Piece)


@dataclass(frozen=True)
class Stage(ABC, Generic[Some]):
    """The shards of one kind and stream."""

    stream: str
    shards: Sequence[Some]

    @property
    @abstractmethod
    def kind(self) -> str:
        """What progress calls this kind of measurement."""

    @property
    @abstractmethod
    def unit(self) -> str:
        """What progress counts."""

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"{self.kind} {self.stream}"

    @abstractmethod
    def name(self, shard: Some) -> str:
        """The shard's file name."""

    def needs(self, shard: Some, settings: StudySettings) -> list[str]:
        """File names of the shards that this one is made from, all of them measured before."""
        return []

    @abstractmethod
    def table(self, shard: Some, context: RunContext, needed: Mapping[str, pa.Table]) -> pa.Table:
        """Measure the shard; `needed` has the table of every name in `needs`."""


@dataclass(frozen=True)
class CompensableStage(Stage[Shard]):
    """What heads do: the whole of each or, `compensated`, what the others of its layer cannot supply of it."""

    compensated: bool = False

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"{super().title}{', compensated' if self.compensated else ''}"

    def marked(self, table: pa.Table) -> pa.Table:
        """The table; under compensation it says what the other heads' part was fitted on."""
        return with_calibration(table, residuals_fitted_on()) if self.compensated else table


def shards_of(
    n: int, size: int, *, end: int | None = None, heads: Sequence[int] | None = None, first: int = 0
) -> list[Shard]:
    """Whole shards of `size` units from number `first` on that hold at least the first `n` units of a stream.

    `end`: the stream has no more units than this.
    """
    ids = None if heads is None else tuple(int(h) for h in heads)
    last = n if end is None else min(n, end)
    shards = []
    for number in range(first, -(-last // size)):
        stop = (number + 1) * size
        shards.append(Shard(number, range(number * size, stop if end is None else min(stop, end)), ids))
    return shards
