"""The evaluation worker: `python -m fasp_core.worker ROOT PARENT_PID`, started by `jobs.EvaluationClient`.

One process per cache folder (a lock sees to it). Each turn measures one block for one session, the one that has had the
least of the worker's time; a block that is in the store already costs nothing. A request that a worker died of is begun
again by the next one, a few times. It ends when its parent is gone, or nobody asked for a while.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import Cancelled, FaspError
from .estimates import Evaluation
from .evaluation import evaluate_study
from .jobs import LOG, RESTARTED, ready_file, worker_lock
from .models import LanguageModel, open_study_model
from .store import MOST_ATTEMPTS, EvaluationStore, Request
from .study import Study, open_study

SEEN_WITHIN_S = 30.0  # a page that looks no longer loses its turn until it looks again
IDLE_S = 900.0  # the model's memory is given back after this long without a request
POLL_S = 0.05
NICENESS = 10  # pages come first, jobs in the background last
ASK_EVERY_S = 0.1  # while sampling: whether the wish still stands


@dataclass
class _Running:
    """An evaluation under way, and what its session should know of how it came about."""

    request_id: str
    steps: Iterator[Evaluation]
    message: str


class Worker:
    """Serves the requests of one cache folder's database."""

    def __init__(self, root: Path) -> None:
        self.root, self.store = root, EvaluationStore(root)
        self._running: dict[str, _Running] = {}  # by session
        self._used_s: dict[str, float] = {}  # the worker's time that each session has had
        self._models: dict[str, LanguageModel] = {}  # by fingerprint; the one in use only

    def turn(self) -> bool:
        """Advance the open request whose session had least time by one block; whether there was any."""
        requests = self.store.open_requests(SEEN_WITHIN_S)
        sessions = {request.session for request in requests}
        self._running = {s: running for s, running in self._running.items() if s in sessions}
        least = min((self._used_s[s] for s in sessions if s in self._used_s), default=0.0)
        self._used_s = {s: self._used_s.get(s, least) for s in sessions}  # a new session has no old claims
        if not requests:
            return False
        request = min(requests, key=lambda request: self._used_s[request.session])
        started = time.monotonic()
        self._advance(request)
        self._used_s[request.session] += time.monotonic() - started
        return True

    def _advance(self, request: Request) -> None:
        attempts = self.store.begin(request)
        if attempts > MOST_ATTEMPTS:
            self.store.answer(
                request, "failed", message=f"the evaluation's process ended {MOST_ATTEMPTS} times while measuring "
                f"this: killed, or out of memory; {self.root / LOG} may tell",
            )  # fmt: skip
            return
        try:
            running = self._running.get(request.session)
            if running is None or running.request_id != request.id:
                message = RESTARTED if request.state == "running" or attempts > 1 else ""
                self.store.say(request, message)
                running = _Running(request.id, self._start(request), message)
                self._running[request.session] = running
            evaluation = next(running.steps)
            state = "done" if evaluation.done else "running"
            self.store.answer(request, state, message=running.message, result=evaluation.to_dict())
        except Cancelled:
            self._running.pop(request.session, None)
        except FaspError as error:
            self.store.answer(request, "failed", message=str(error))
        except Exception as error:  # a broken model must not take the service down; the log has the traceback
            traceback.print_exc()
            self.store.answer(request, "failed", message=f"the evaluation failed: {type(error).__name__}: {error}")

    def _start(self, request: Request) -> Iterator[Evaluation]:
        study, lm = self._open(request.study)
        return evaluate_study(
            study, lm, request.pruned, request.axes, split=request.split, store=self.store,
            stop=_Superseded(self.store, request),
        )  # fmt: skip

    def _open(self, name: str) -> tuple[Study, LanguageModel]:
        """The study as it is now, and its model, which stays open until another one is needed."""
        study = open_study(name, self.root)
        fingerprint = study.manifest.model.get("fingerprint")
        if fingerprint not in self._models:
            self._models.clear()  # one model in memory at a time
            self._models[fingerprint] = open_study_model(study)
            ready_file(self.root).write_text(name)
        return study, self._models[fingerprint]


class _Superseded:
    """Whether a session has a newer wish than this; asked at every sampled token, so the database only now and then."""

    def __init__(self, store: EvaluationStore, request: Request) -> None:
        self.store, self.request, self.next_look = store, request, 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self.next_look:
            return False
        self.next_look = now + ASK_EVERY_S
        return not self.store.is_current(self.request.session, self.request.id)


def main(root: Path, parent: int) -> None:
    """Serve until the parent process ends or nobody has asked for `IDLE_S` seconds."""
    try:
        with FileLock(worker_lock(root), timeout=0):
            if hasattr(os, "nice"):  # not on Windows
                os.nice(NICENESS)
            worker, last = Worker(root), time.monotonic()
            while os.getppid() == parent and time.monotonic() - last < IDLE_S:
                if worker.turn():
                    last = time.monotonic()
                else:
                    time.sleep(POLL_S)
    except Timeout:
        return  # another worker was faster


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
