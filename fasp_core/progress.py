"""How far a run is, and whether to stop it: what the command line and the app share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fasp_core.errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """How far one stage of a run has come; `eta_s` is the time left for the stage, None while unknown."""

    stage: str
    done: int
    total: int
    unit: str
    elapsed_s: float
    eta_s: float | None = None
    message: str = ""


ProgressCallback = Callable[[Progress], None]
Stop = Callable[[], bool]  # true once the run is to end


def check_stop(stop: Stop | None, what: str, *, resumes: bool = False) -> None:
    """Raise Cancelled, saying that `what` was stopped, once `stop()` is true.

    `resumes`: the same call goes on where this one ended, and the message says so.
    """
    if stop is not None and stop():
        raise Cancelled(f"{what} was stopped{'; run it again to go on where it ended' if resumes else ''}")


class StageClock:
    """Counts one stage and emits a `Progress` at every step.

    Work that was on disk before (`already`) counts as done but not towards the speed behind the ETA.
    """

    def __init__(
        self, stage: str, total: int, unit: str, callback: ProgressCallback | None, *, already: int = 0
    ) -> None:
        self.stage, self.total, self.unit, self.callback = stage, total, unit, callback
        self.done = self.already = already
        self.started = time.monotonic()
        self._emit("")

    def step(self, n: int = 1, message: str = "") -> None:
        """Count `n` more units as done and tell the callback."""
        self.done += n
        self._emit(message)

    def _emit(self, message: str) -> None:
        if self.callback is None:
            return
        elapsed = time.monotonic() - self.started
        fresh = self.done - self.already
        eta = elapsed / fresh * (self.total - self.done) if fresh > 0 else None
        self.callback(Progress(self.stage, self.done, self.total, self.unit, elapsed, eta, message))
