"""Background evaluation: pages ask and look, one worker process owns the model.

A page must stay responsive while torch takes all cores, so nothing is evaluated in its process. `request` notes what a
session wants measured and makes sure that a worker runs; `latest` tells how far it is, and starts a new worker where
the old one died. Results are not handed over: page and worker share the `EvaluationStore`, see `history.measured_set`.
The worker (`worker_process`) holds a lock, so there is never more than one per cache folder. It takes
turns between sessions, drops a request as soon as its session makes another one, and ends when nobody asks any more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from fasp_core.evaluation.keys import Target
from fasp_core.files.paths import cache_root, child_environment
from fasp_core.files.run_log import SERVER, log_event
from fasp_core.jobs.requests import RequestQueue

LOG = ".worker.log"
RESTARTED = "the evaluation's process ended unexpectedly and was started again; finished blocks are kept"
MOST_FAILED_STARTS = 3
_started: dict[Path, subprocess.Popen[bytes]] = {}  # by this process; a worker takes a moment to reach its lock
_failed_starts: dict[Path, list[str]] = {}  # why workers ended before they had a model open, one after another
_log_from: dict[Path, int] = {}  # how long the log was when the newest worker was started
_starting = threading.Lock()  # sessions are threads of one process


@dataclass(frozen=True)
class EvaluationStatus:
    """How far a session's request is, and what went wrong on the way; "starting": a worker is opening the model."""

    state: Literal["idle", "queued", "starting", "running", "done", "failed"]
    message: str = ""


class EvaluationClient:
    """A page's side of the evaluation service."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = Path(cache_root(root))
        self.queue = RequestQueue(self.root)

    def request(self, session: str, target: Target) -> None:
        """Ask for a measurement; what the session asked for before is dropped, unless it is the same, unfinished."""
        old = self.queue.latest(session)
        if old is not None and old.target == target and old.state in ("queued", "running"):
            return
        self.queue.ask(session, target)
        log_event(self.root, SERVER, "evaluation asked", study=target.study, heads=len(target.heads))
        _failed_starts.pop(self.root, None)
        self._ensure_worker()

    def latest(self, session: str) -> EvaluationStatus:
        """The state of the session's request; starts a new worker where the old one died on the way."""
        request = self.queue.latest(session, touch=True)
        if request is None:
            return EvaluationStatus("idle")
        if request.state not in ("queued", "running"):
            return EvaluationStatus(request.state, request.message)
        restarted = self._ensure_worker()
        failures = _failed_starts.get(self.root, [])
        if len(failures) >= MOST_FAILED_STARTS:
            message = (
                f"the evaluation's process ended {len(failures)} times before it had opened a model: {failures[-1]}"
            )
            self.queue.answer(request, "failed", message)
            return EvaluationStatus("failed", message)
        begun = request.state == "running" or request.attempts > 0  # its first block may be kept, and not yet said
        message = RESTARTED if restarted and begun else request.message
        return EvaluationStatus("starting" if restarted or not self._model_ready() else request.state, message)

    def _ensure_worker(self) -> bool:
        """Start a worker unless one holds the lock; returns whether one was started."""
        with _starting:
            return self._start_worker()

    def _start_worker(self) -> bool:
        started = _started.get(self.root)
        if started is not None:
            if started.poll() is None:
                return False
            del _started[self.root]
            if started.returncode == 0 or self._model_ready():
                _failed_starts.pop(self.root, None)
            else:
                _failed_starts.setdefault(self.root, []).append(_why_it_ended(started.returncode, self.root))
        if len(_failed_starts.get(self.root, [])) >= MOST_FAILED_STARTS:
            return False
        lock = FileLock(worker_lock(self.root))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        lock.release()
        ready_file(self.root).unlink(missing_ok=True)
        with open(self.root / LOG, "ab") as log:
            _log_from[self.root] = log.seek(0, os.SEEK_END)
            _started[self.root] = subprocess.Popen(
                [sys.executable, "-m", "fasp_core.jobs.worker_process", str(self.root), str(os.getpid())],
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return True

    def _model_ready(self) -> bool:
        return ready_file(self.root).exists()


def _why_it_ended(code: int, root: Path) -> str:
    """In one line: the signal that killed the newest worker, else the last line that it left in the log."""
    if code < 0:
        return f"it was killed (signal {-code}); the system does that too, where memory runs out"
    with open(root / LOG, "rb") as file:
        file.seek(_log_from.get(root, 0))
        lines = file.read().decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "and said nothing")
    return f"exit status {code}, {last[:500]}"


def worker_lock(root: Path) -> Path:
    """The file whose lock the one worker of a cache folder holds."""
    return root / ".worker.lock"


def ready_file(root: Path) -> Path:
    """Exists while the worker has a model open; holds the study's name."""
    return root / ".worker.ready"
