"""The evaluation worker, in a process of its own (`worker_process`), which `client.EvaluationClient` starts.

There is one process per cache folder: it holds a lock. Each turn measures one block, for the session that has had the
least of the worker's time; a block that is in the store already costs nothing. A request that a worker died of is begun
again by the next one, up to `MOST_ATTEMPTS` times. It ends when the process that asks is gone, in the middle of a
block too, or when nobody asked for a while.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fasp_core.errors import Cancelled, FaspError
from fasp_core.evaluation.evaluate import evaluate_target
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.files.run_log import Level, log_event, place_of
from fasp_core.jobs.client import LOG, RESTARTED, ready_file
from fasp_core.jobs.requests import Request, RequestQueue
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.open_model import reopen_model
from fasp_core.study.study import Study, open_study

MOST_ATTEMPTS = 3  # at one block, by workers that died of it, before its request is given up
SEEN_WITHIN_S = 30.0  # a session whose page has not looked for so long gets no turn until it looks again
IDLE_S = 900.0  # the model's memory is given back after this long without a request
POLL_S = 0.05
NICENESS = 10  # pages come first, jobs in the background last
ASK_EVERY_S = 0.1  # while sampling: whether the session has asked for something else


@dataclass
class _Running:
    """An evaluation under way, and what its session should know of how it came about."""

    request_id: str
    steps: Iterator[Evaluation]
    message: str
    seconds: float = 0.0  # of the worker's time that it has had


class Worker:
    """Serves the requests of one cache folder's database, for as long as somebody `is_asked_for`."""

    def __init__(self, root: Path, is_asked_for: Callable[[], bool] = lambda: True) -> None:
        self.is_asked_for = is_asked_for
        self.root, self.queue, self.store = root, RequestQueue(root), EvaluationStore(root)
        self._running: dict[str, _Running] = {}  # by session
        self._used_s: dict[str, float] = {}  # the worker's time that each session has had
        self._models: dict[str, LanguageModel] = {}  # by fingerprint; the one in use only

    def turn(self) -> bool:
        """Advance the request whose session had least time by one block; returns whether there was any."""
        requests = self.queue.unfinished(SEEN_WITHIN_S)
        sessions = {request.session for request in requests}
        self._running = {s: running for s, running in self._running.items() if s in sessions}
        least = min((self._used_s[s] for s in sessions if s in self._used_s), default=0.0)
        self._used_s = {s: self._used_s.get(s, least) for s in sessions}  # a new one starts level
        if not requests:
            return False
        request = min(requests, key=lambda request: self._used_s[request.session])
        started = time.monotonic()
        self._advance(request)
        self._used_s[request.session] += time.monotonic() - started
        return True

    def _advance(self, request: Request) -> None:
        attempts = self.queue.begin(request)
        if attempts > MOST_ATTEMPTS:
            self.queue.answer(
                request,
                "failed",
                f"the evaluation's process ended {MOST_ATTEMPTS} times while measuring this: killed, or out of memory; "
                f"{self.root / LOG} may tell",
            )
            return
        try:
            running = self._running.get(request.session)
            if running is None or running.request_id != request.id:
                message = RESTARTED if request.state == "running" or attempts > 1 else ""
                self.queue.note(request, message)
                running = _Running(request.id, self._start(request), message)
                self._running[request.session] = running
            began = time.monotonic()
            evaluation = next(running.steps)
            running.seconds += time.monotonic() - began
            self.queue.answer(request, "done" if evaluation.done else "running", running.message)
            if evaluation.done:
                self._log("evaluation ends", request, seconds=round(running.seconds, 3))
        except Cancelled:  # it has a newer one, which this leaves alone, or another worker goes on with it
            self._running.pop(request.session, None)
            self.queue.answer(request, "running", RESTARTED)
        except FaspError as error:
            self._log("evaluation fails", request, level="error", error=type(error).__name__)
            self.queue.answer(request, "failed", str(error))
        except Exception as error:  # a broken model must not take the service down; the log has the traceback
            traceback.print_exc()
            self._log("evaluation fails", request, level="error", error=type(error).__name__, place=place_of(error))
            self.queue.answer(request, "failed", f"the evaluation failed: {type(error).__name__}: {error}")

    def log(self, event: str, *, level: Level = "info", **facts: str | int | float) -> None:
        """Add a line to the log of runs; the run is this worker."""
        log_event(self.root, f"worker-{os.getpid()}", event, level=level, **facts)

    def _log(self, event: str, request: Request, *, level: Level = "info", **facts: str | int | float) -> None:
        self.log(event, level=level, study=request.target.study, heads=len(request.target.heads), **facts)

    def _start(self, request: Request) -> Iterator[Evaluation]:
        study, lm = self._open(request.target.study)
        stop = _Unwanted(self.queue, request, self.is_asked_for)
        return evaluate_target(study, lm, request.target, store=self.store, stop=stop)

    def _open(self, name: str) -> tuple[Study, LanguageModel]:
        """The study as it is now, and its model, which stays open until another one is needed."""
        study = open_study(name, self.root)
        fingerprint = str(study.manifest.model.get("fingerprint"))
        if fingerprint not in self._models:
            self._models.clear()  # one model in memory at a time
            self._models[fingerprint] = reopen_model(study.model_record, study.name)
            ready_file(self.root).write_text(name, "utf-8")
        return study, self._models[fingerprint]


class _Unwanted:
    """Whether a session has a newer request, or nobody asks. Called at every sampled token, it looks now and then."""

    def __init__(self, queue: RequestQueue, request: Request, is_asked_for: Callable[[], bool]) -> None:
        self.queue, self.request, self.is_asked_for, self.next_look = queue, request, is_asked_for, 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self.next_look:
            return False
        self.next_look = now + ASK_EVERY_S
        return not self.is_asked_for() or not self.queue.is_latest(self.request)


def serve(root: Path, is_asked_for: Callable[[], bool]) -> None:
    """Serve while somebody asks, until nobody has asked for `IDLE_S` seconds. The caller holds the folder's lock."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    worker, last = Worker(root, is_asked_for), time.monotonic()
    worker.log("worker begins")
    while is_asked_for() and time.monotonic() - last < IDLE_S:
        if worker.turn():
            last = time.monotonic()
        else:
            time.sleep(POLL_S)
    worker.log("worker ends")
