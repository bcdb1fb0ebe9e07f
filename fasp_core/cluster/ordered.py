"""Tasks in, results out in the same order: in this process, or on workers with a bounded number of tasks under way.

A task is a function of a context, which every process makes for itself; so tasks and results have to be plain data. An
error of a task is raised where its result would have come, after the results of all tasks before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

C = TypeVar("C")
R = TypeVar("R")

AHEAD = 3  # tasks under way or finished and not yet handed on, for each worker
LOOK_EVERY_S = 0.5  # while waiting for workers: whether the run is to stop


class Workers(Protocol):
    """What `ordered_map` asks of workers, which are numbered from 0 and do one task at a time."""

    @property
    def n_workers(self) -> int: ...

    def submit(self, worker: int, task: Callable[[Any], Any]) -> Any:
        """Start a task; returns what stands for its result, which can be a key of a dictionary."""
        ...

    def wait(self, results: list[Any], seconds: float) -> list[Any]:
        """Those of the results that are there, once one is or the time is up."""
        ...

    def get(self, result: Any) -> Any:
        """A result that is there; raises what its task raised."""
        ...


def in_process(context: C, tasks: Iterable[Callable[[C], R]], check: Callable[[], None]) -> Iterator[R]:
    """Do the tasks one by one; `check` is called before each, and raises to stop."""
    for task in tasks:
        check()
        yield task(context)


def ordered_map(workers: Workers, tasks: Iterable[Callable[[Any], R]], check: Callable[[], None]) -> Iterator[R]:
    """Do the tasks on all workers; `check` is called again and again, and raises to stop.

    No task is taken from `tasks` before it can be started. A slow task holds up at most AHEAD tasks a worker.
    """
    waiting, free = enumerate(tasks), deque(range(workers.n_workers))
    running: dict[Any, tuple[int, int]] = {}  # (task's number, worker), by what stands for the result
    finished: dict[int, Any] = {}
    begun = given = 0
    while True:
        while free and begun < given + AHEAD * workers.n_workers:
            check()
            number, task = next(waiting, (begun, None))
            if task is None:
                break
            worker = free.popleft()
            running[workers.submit(worker, task)] = number, worker
            begun += 1
        if given in finished:
            yield workers.get(finished.pop(given))
            given += 1
        elif not running:
            return
        for result in workers.wait(list(running), 0.0 if given in finished else LOOK_EVERY_S) if running else []:
            number, worker = running.pop(result)
            finished[number] = result
            free.append(worker)
        check()
