"""The evaluation worker: `python -m fasp_core.worker ROOT PARENT_PID`, started by `jobs.EvaluationClient`.

One process per cache folder (a lock sees to it). Each turn measures one block for one session, round robin; a block
that is in the store already costs nothing. It ends when its parent is gone, or nobody asked for a while.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import Cancelled, FaspError
from .estimates import Evaluation
from .evaluation import evaluate
from .jobs import ready_file, worker_lock
from .models import LanguageModel, open_study_model
from .prompts import PromptSet
from .store import EvaluationStore, Request
from .study import open_study
from .text import load_text
from .toxicity import open_scorer

SEEN_WITHIN_S = 30.0  # a page that looks no longer loses its turn until it looks again
IDLE_S = 900.0  # the model's memory is given back after this long without a request
POLL_S = 0.05


class Worker:
    """Serves the requests of one cache folder's database."""

    def __init__(self, root: Path) -> None:
        self.root, self.store = root, EvaluationStore(root)
        self._running: dict[str, tuple[str, Iterator[Evaluation]]] = {}  # session -> request id, evaluation
        self._models: dict[str, tuple[LanguageModel, PromptSet, str]] = {}  # the study in use only

    def turn(self) -> bool:
        """Advance each open request by one block; whether there was any."""
        requests = self.store.open_requests(SEEN_WITHIN_S)
        self._running = {r.session: self._running[r.session] for r in requests if r.session in self._running}
        for request in requests:
            if self.store.is_current(request.session, request.id):
                self._advance(request)
        return bool(requests)

    def _advance(self, request: Request) -> None:
        try:
            running = self._running.get(request.session)
            if running is None or running[0] != request.id:
                running = (request.id, self._start(request))
                self._running[request.session] = running
            evaluation = next(running[1])
            state = "done" if evaluation.done else "running"
            self.store.answer(request, state, result=evaluation.to_dict())
        except Cancelled:
            self._running.pop(request.session, None)
        except FaspError as error:
            self.store.answer(request, "failed", message=str(error))
        except Exception as error:  # a broken model must not take the service down; the log has the traceback
            traceback.print_exc()
            self.store.answer(request, "failed", message=f"the evaluation failed: {type(error).__name__}: {error}")

    def _start(self, request: Request) -> Iterator[Evaluation]:
        lm, prompts, scorer = self._open(request.study)
        return evaluate(
            lm, request.pruned, request.axes, split=request.split, prompts=prompts, scorer=open_scorer(scorer),
            text=load_text(), store=self.store,
            stop=lambda: not self.store.is_current(request.session, request.id),
        )  # fmt: skip

    def _open(self, name: str) -> tuple[LanguageModel, PromptSet, str]:
        if name not in self._models:
            self._models.clear()  # one model in memory at a time
            study = open_study(name, self.root)
            lm = open_study_model(study)
            self._models[name] = (lm, study.prompts, next(iter(study.manifest.scorers)))
            ready_file(self.root).write_text(name)
        return self._models[name]


def main(root: Path, parent: int) -> None:
    """Serve until the parent process ends or nobody has asked for `IDLE_S` seconds."""
    try:
        with FileLock(worker_lock(root), timeout=0):
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
