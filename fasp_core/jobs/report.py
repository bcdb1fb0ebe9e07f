"""The job's own side of `background`: a command line that was started as a job says how far it is and how it ended.

The environment variable FASP_JOB names the job's folder. What is written there outlives the process that started the
job: `process.json` (who runs it), `progress.json` (the newest event of each stage), `end.json` (exit status).
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from .progress import Progress

JOB = "FASP_JOB"
PROCESS, PROGRESS, END, CANCELLED = "process.json", "progress.json", "end.json", "cancelled"
WRITE_EVERY_S = 0.5
NICENESS = 19  # pages stay quick while a job takes all cores, and so do evaluations, which people wait for


class JobReport:
    """Writes into a job's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stages: dict[str, dict[str, Any]] = {}
        self._written = 0.0

    def begin(self) -> None:
        """Say which process runs the job, give way to pages, and let SIGTERM stop the run as Ctrl-C does."""
        import psutil

        signal.signal(signal.SIGTERM, _interrupt)
        me = psutil.Process()
        self._write(PROCESS, {"pid": me.pid, "started": me.create_time()})
        if hasattr(os, "nice"):  # not on Windows
            os.nice(NICENESS)
        if (self.folder / CANCELLED).exists():
            raise KeyboardInterrupt  # it was stopped before it could hear of it

    def progress(self, event: Progress) -> None:
        """Note one event; between stages' ends not more often than every half second."""
        self._stages[event.stage] = asdict(event)
        now = time.monotonic()
        if event.done >= event.total or now >= self._written + WRITE_EVERY_S:
            self._written = now
            self._write(PROGRESS, list(self._stages.values()))

    def end(self, status: int) -> None:
        """Say that the run is over, with its exit status."""
        self._write(PROGRESS, list(self._stages.values()))
        self._write(END, {"status": status, "time": time.time()})

    def _write(self, name: str, value: Any) -> None:
        """Whole or not at all; a folder that was removed meanwhile, or a full disk, must not stop the run."""
        temporary = self.folder / f".{name}.partial"
        try:
            temporary.write_text(json.dumps(value), "utf-8")
            os.replace(temporary, self.folder / name)
        except OSError:
            return


@cache
def current_job() -> JobReport | None:
    """The report of the job that this process is, or None; processes that it starts are no jobs."""
    folder = os.environ.pop(JOB, None)
    return JobReport(Path(folder)) if folder else None


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
