"""A job's own side: a command line that was started as a job says how far it is and how it ended.

The environment variable FASP_JOB names the job's folder. What is written there outlives the process that started the
job: `process.json` (who runs it), `progress.json` (the newest event of each stage), `end.json` (exit status).
`waiting` is there while the job waits for its turn, see `turns`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from fasp_core.errors import DONE, STOPPED
from fasp_core.files.run_log import Level, log_event
from fasp_core.progress import Progress

JOB = "FASP_JOB"
PROCESS, PROGRESS, END = "process.json", "progress.json", "end.json"
CANCELLED, WAITING = "cancelled", "waiting"
WRITE_EVERY_S = 0.5
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
NICENESS = 19  # jobs take the time that pages, and evaluations that people wait for, leave


class JobReport:
    """Writes into a job's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stages: dict[str, dict[str, Any]] = {}
        self._written = 0.0
        self._made = time.monotonic()

    def begin(self) -> None:
        """Say which process runs the job, take the lowest priority, and let SIGTERM stop the run as Ctrl-C does."""
        import psutil

        from fasp_core.jobs.processes import identity

        signal.signal(signal.SIGTERM, _interrupt)
        self.log("begins")
        me = psutil.Process()
        self._write(PROCESS, {"pid": me.pid, "identity": identity(me)})
        if hasattr(os, "nice"):  # not on Windows
            os.nice(NICENESS)
        if (self.folder / CANCELLED).exists():
            raise KeyboardInterrupt  # it was asked to stop before it could take the signal

    def progress(self, event: Progress) -> None:
        """Note one event; written at most every half second, and when a stage ends."""
        self._stages[event.stage] = asdict(event)
        now = time.monotonic()
        if event.done >= event.total or now >= self._written + WRITE_EVERY_S:
            self._written = now
            self._write(PROGRESS, list(self._stages.values()))

    def end(self, status: int) -> None:
        """Say that the run is over, with its exit status."""
        self._write(PROGRESS, list(self._stages.values()))
        self._write(END, {"status": status, "time": time.time()})
        level: Level = "info" if status in (DONE, STOPPED) else "error"
        self.log("ends", level=level, status=status, seconds=round(time.monotonic() - self._made))

    def log(self, event: str, *, level: Level = "info", **facts: str | int | float) -> None:
        """Add a line to the log of runs, see `files.run_log`; the job's id is the run."""
        about = {"study": study_of(sys.argv[1:]), **facts}
        log_event(self.folder.parents[1], self.folder.name, f"job {event}", level=level, **about)

    def _write(self, name: str, value: Any) -> None:
        """Whole or not at all; a folder that was removed, or a full disk, does not stop the run."""
        temporary = self.folder / f".{name}.partial"
        try:
            temporary.write_text(json.dumps(value), "utf-8")
            os.replace(temporary, self.folder / name)
        except OSError:
            return


def study_of(command: Sequence[str]) -> str:
    """The study that a job's command names, by `--name` or as its last argument; "" where that is something else."""
    joined = "\n".join(command)
    named = re.search(r"^--name(?:=|\n)(.*)$", joined, re.M)
    name = named[1] if named else joined.rpartition("\n")[2]
    return name if NAME.fullmatch(name) else ""


@cache
def current_job() -> JobReport | None:
    """The report of the job that this process runs, or None; processes that it starts are not the job."""
    folder = os.environ.pop(JOB, None)
    return JobReport(Path(folder)) if folder else None


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
