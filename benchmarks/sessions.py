"""Many browser sessions at once: `python -m benchmarks.sessions [--sessions 8] [--loops 1] [--seconds 60]`.

Each session does what the Prune page does on the server: select heads for random γ and α, predict, ask the evaluation
service, and look twice a second, moving on after a few seconds. Every answer must belong to the heads that were
asked for. Beside them some sessions are in a loop of slider moves, which asks for another set before the last is
measured: they must not keep the others waiting. Printed are moves, answers, errors, times of a look and to first
numbers, and the memory of this process and of the worker at the end as a ratio of that after a quarter of the time:
about 1 is flat.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import tempfile
import threading
import time
from math import nan
from pathlib import Path

import psutil

from fasp_core.cli.output import print_table
from fasp_core.evaluation.history import measured_set
from fasp_core.evaluation.keys import Target
from fasp_core.files.paths import cache_root
from fasp_core.jobs import client as jobs
from fasp_core.jobs.client import EvaluationClient
from fasp_core.selection.prediction import predict_effect
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.study import open_study

LOOK_EVERY_S = 0.5
STAYS_S = (1.0, 8.0)  # how long a session looks at one set
LOOP_S = (0.1, 0.3)  # and one in a loop


class Session(threading.Thread):
    """One visitor; `problems` are answers that were wrong, and errors."""

    def __init__(self, client: EvaluationClient, study, scores, until: float, seed: int, stays=STAYS_S) -> None:
        super().__init__(daemon=True)
        self.stays = stays
        self.client, self.study, self.scores, self.until = client, study, scores, until
        self.rng, self.session = random.Random(seed), f"session {seed}"
        self.moves, self.answers, self.problems = 0, 0, []
        self.look_s: list[float] = []
        self.first_s: list[float] = []

    def run(self) -> None:
        """Move sliders until the time is over."""
        while time.monotonic() < self.until:
            try:
                self._move()
            except Exception as error:  # whatever it is, it is what is looked for
                self.problems.append(f"{type(error).__name__}: {error}")

    def _move(self) -> None:
        axis = self.scores.axes[0]
        gamma, alpha = round(self.rng.uniform(0.1, 0.5), 2), round(self.rng.uniform(0.02, 0.3), 2)
        chosen = select_heads(self.scores, axis=axis, gamma=gamma, alpha=alpha)
        predict_effect(self.scores, chosen.pruned, axis)
        target = Target(self.study.name, chosen.pruned, tuple(self.scores.axes))
        measured_set(self.study, target)
        started, first = time.monotonic(), None
        self.client.request(self.session, target)
        self.moves += 1
        leave = min(self.until, started + self.rng.uniform(*self.stays))
        while time.monotonic() < leave:
            looked = time.monotonic()
            status, known = self.client.latest(self.session), measured_set(self.study, target)
            self.look_s.append(time.monotonic() - looked)
            if status.state == "failed":
                self.problems.append(status.message)
            if known is not None:
                self.answers += 1
                first = first or time.monotonic() - started
                if known.evaluation.pruned != chosen.pruned:
                    self.problems.append("an answer to another set")
            time.sleep(min(LOOK_EVERY_S, self.stays[0]))
        if first is not None:
            self.first_s.append(first)


def main() -> None:
    """Run the sessions on a copy of the study, and print a table; exit status 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--loops", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--study", default="default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        shutil.copytree(cache_root() / options.study, root / options.study)
        if (cache_root() / "models").is_dir():
            (root / "models").symlink_to(cache_root() / "models", target_is_directory=True)
        study, client = open_study(options.study, root), EvaluationClient(root)
        scores = study.scores()
        _warm(client, study, scores)
        worker = psutil.Process(jobs._started[root].pid)
        until = time.monotonic() + options.seconds
        sessions = [Session(client, study, scores, until, seed) for seed in range(options.sessions)]
        loops = [Session(client, study, scores, until, 1000 + seed, LOOP_S) for seed in range(options.loops)]
        for session in sessions + loops:
            session.start()
        time.sleep(options.seconds / 4)
        early = _memory(worker)
        for session in sessions + loops:
            session.join()
        late = _memory(worker)
        jobs._started[root].terminate()
        jobs._started.pop(root).wait(30)
    problems = [problem for session in sessions + loops for problem in session.problems]
    looks = [s for session in sessions for s in session.look_s]
    firsts = [s for session in sessions for s in session.first_s]
    waits = [statistics.median(session.first_s) for session in sessions if session.first_s]
    rows = {
        "sessions": len(sessions),
        "sessions in a loop": len(loops),
        "moves of those": sum(s.moves for s in loops),
        "moves": sum(s.moves for s in sessions),
        "answers": sum(s.answers for s in sessions),
        "errors and wrong answers": len(problems),
        "a look, median ms": 1000 * statistics.median(looks),
        "a look, slowest ms": 1000 * max(looks),
        "first numbers, median s": statistics.median(firsts or [nan]),
        "the same, slowest session, of the median one": max(waits, default=nan) / statistics.median(waits or [nan]),
        "sessions without any numbers": len(sessions) - len(waits),
        "memory of this process, ratio": late[0] / early[0],
        "memory of the worker, ratio": late[1] / early[1],
    }
    print_table(("what", "measured"), [(what, f"{value:.3g}") for what, value in rows.items()])
    for problem in sorted(set(problems)):
        print(problem)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), "utf-8")
    raise SystemExit(1 if problems else 0)


def _warm(client: EvaluationClient, study, scores) -> None:
    """Have the model open before the clock starts."""
    client.request("warm", Target(study.name, (), tuple(scores.axes)))
    while client.latest("warm").state in ("queued", "starting"):
        time.sleep(0.2)


def _memory(worker: psutil.Process) -> tuple[int, int]:
    return psutil.Process().memory_info().rss, worker.memory_info().rss


if __name__ == "__main__":
    main()
