"""What a run asks of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from fasp_core.models.language_model import LanguageModel

C = TypeVar("C")
R = TypeVar("R")


@dataclass(frozen=True)
class ClusterChoice:
    """Which cluster, and what each worker gets of it: so many GPUs where there are any, else so many cores.

    `most` bounds the number of workers; None: as many as there is room for.
    """

    address: str
    cores: int = 1
    gpus: int = 1
    most: int | None = None


@dataclass(frozen=True)
class HeldModel:
    """The model that every worker has opened: its fingerprint, number format and kind of device."""

    fingerprint: str
    dtype: str
    device: str


class Cluster(Protocol):
    """Workers that have opened the same model, and stay until the cluster is closed."""

    n_workers: int
    held: HeldModel

    def map(
        self, setup: Callable[[LanguageModel], C], tasks: Iterable[Callable[[C], R]], check: Callable[[], None]
    ) -> Iterator[R]:
        """The tasks' results, in order (see `ordered.ordered_map`); each worker does `setup` once, on its model.

        A worker that is lost is replaced, and its task done again. Raises what a task raises; RunError where one
        ends its worker again and again.
        """
        ...
