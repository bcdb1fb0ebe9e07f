"""Background evaluation: pages ask and look, one worker process owns the model.

A page must stay responsive while torch saturates the cores, so nothing is evaluated in its process. `request` writes
a session's latest wish to the database and makes sure a worker runs; `latest` reads how far it has come, and starts a
new worker where the old one died. The worker (`python -m fasp_core.worker`) holds a lock, so there is never more than
one per cache folder; it takes turns between sessions, drops a wish as soon as its session has a newer one, and ends by
itself when nobody asks any more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from .estimates import Evaluation
from .paths import PROJECT, cache_root
from .store import EvaluationStore, Request, read_evaluation

LOG = ".worker.log"
RESTARTED = "the evaluation's process ended unexpectedly and was started again; finished blocks are kept"
MOST_FAILED_STARTS = 3
_started: dict[Path, subprocess.Popen] = {}  # by this process; a worker takes a moment to reach its lock
_failed_starts: dict[Path, int] = {}  # workers that ended before they had a model open, one after another


@dataclass(frozen=True)
class EvaluationStatus:
    """How far a session's request has come: idle, queued, starting, running, done or failed."""

    state: str
    evaluation: Evaluation | None = None
    message: str = ""


class EvaluationClient:
    """A page's side of the evaluation service."""

    def __init__(self, root: str | os.PathLike | None = None) -> None:
        self.root = Path(cache_root(root))
        self.store = EvaluationStore(self.root)

    def request(
        self, session: str, study: str, pruned: Iterable[tuple[int, int]], axes: Iterable[str], split: str = "valid"
    ) -> None:
        """Ask for an evaluation; whatever this session asked for before is dropped, unless it is the same."""
        heads, axes = tuple(sorted(set(pruned))), tuple(axes)
        old = self.store.request(session)
        wish = (study, heads, set(axes), split)
        if old and old.state != "failed" and (old.study, old.pruned, set(old.axes), old.split) == wish:
            return
        self.store.ask(session, uuid4().hex, study, axes, split, heads)
        _failed_starts.pop(self.root, None)
        self._ensure_worker()

    def latest(self, session: str) -> EvaluationStatus:
        """The state of the session's request and its newest result; restarts a worker that died on the way."""
        request = self.store.request(session, touch=True)
        if request is None:
            return EvaluationStatus("idle")
        state, message = request.state, request.message
        if state in ("queued", "running"):
            restarted = self._ensure_worker()
            if _failed_starts.get(self.root, 0) >= MOST_FAILED_STARTS:
                message = f"the evaluation's process does not start; {self.root / LOG} tells why"
                self.store.answer(request, "failed", message=message)
                return EvaluationStatus("failed", _evaluation(request), message)
            if restarted and state == "running":
                message = RESTARTED
            state = "starting" if restarted or not self._model_ready() else state
        return EvaluationStatus(state, _evaluation(request), message)

    def _ensure_worker(self) -> bool:
        """Start a worker unless one holds the lock; whether one was started."""
        started = _started.get(self.root)
        if started is not None:
            if started.poll() is None:
                return False
            del _started[self.root]
            ended_early = started.returncode != 0 and not self._model_ready()
            _failed_starts[self.root] = _failed_starts.get(self.root, 0) + 1 if ended_early else 0
            if _failed_starts[self.root] >= MOST_FAILED_STARTS:
                return False
        lock = FileLock(worker_lock(self.root))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        lock.release()
        ready_file(self.root).unlink(missing_ok=True)
        with open(self.root / LOG, "ab") as log:
            _started[self.root] = subprocess.Popen(
                [sys.executable, "-m", "fasp_core.worker", str(self.root), str(os.getpid())],
                cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return True

    def _model_ready(self) -> bool:
        return ready_file(self.root).exists()


def worker_lock(root: Path) -> Path:
    """The file whose lock the one worker of a cache folder holds."""
    return root / ".worker.lock"


def ready_file(root: Path) -> Path:
    """Exists while the worker has a model open; holds the study's name."""
    return root / ".worker.ready"


def _evaluation(request: Request) -> Evaluation | None:
    """The request's newest result; None also for one that another version of the program wrote, which is asked anew."""
    return None if request.result is None else read_evaluation(request.result)
