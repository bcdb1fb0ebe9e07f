"""Many browser sessions at once: `python -m benchmarks.sessions [--sessions 20] [--loops 1] [--seconds 120]`.

Each session does what the Prune page does on the server: select heads for random γ and α, predict, ask the evaluation
service, look twice a second until the first numbers are there, and move on after a few seconds more. Every answer must
belong to the heads that were asked for, and some are measured anew by this process alone: they must be the same to the
last bit. Beside them some sessions are in a loop of slider moves, which asks for another set before the last is
measured: they must not keep the others waiting. Printed are moves, answers, errors, times of a look and to first
numbers, how long the session that waited longest did so, of the median one (at most MOST_WAITING times), and the memory
of this process and of the worker at the end as a ratio of that after a quarter of the time: about 1 is flat. Exit
status 1 where anything was wrong. How long they wait depends on the machine, and means something on a quiet one.
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
from pathlib import Path

import psutil

from fasp_core.cli.output import print_table
from fasp_core.evaluation.evaluate import evaluate_target
from fasp_core.evaluation.history import measured_set, measured_sets
from fasp_core.evaluation.keys import Target
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.files.paths import cache_root
from fasp_core.head import heads_text
from fasp_core.jobs import client as jobs
from fasp_core.jobs.client import EvaluationClient
from fasp_core.models.open_model import reopen_model
from fasp_core.selection.prediction import predict_effect
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.study import Study, open_study

LOOK_EVERY_S = 0.5
STAYS_S = (1.0, 8.0)  # how long a session looks at one set once it has numbers
LOOP_S = (0.1, 0.3)  # and one in a loop, which does not wait for numbers
MOST_WAITING = 3.0  # times the median session's waiting: above it, one was starved
CHECKED = 3  # answers that are measured anew


class Session(threading.Thread):
    """One visitor; `problems` are answers that were wrong, and errors; `waited_s` how long each first number took.

    One that `waits` moves on when it has numbers. What it still waits for at the end
    counts where that is longer than any before.
    """

    def __init__(self, client: EvaluationClient, study, scores, until: float, seed: int, *, waits: bool = True) -> None:
        super().__init__(daemon=True)
        self.waits, self.stays = waits, STAYS_S if waits else LOOP_S
        self.client, self.study, self.scores, self.until = client, study, scores, until
        self.rng, self.session = random.Random(seed), f"session {seed}"
        self.moves, self.answers, self.problems = 0, 0, []
        self.look_s: list[float] = []
        self.waited_s: list[float] = []

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
        stays = self.rng.uniform(*self.stays)
        leave = self.until if self.waits else started + stays
        while (looked := time.monotonic()) < min(leave, self.until):
            status, known = self.client.latest(self.session), measured_set(self.study, target)
            self.look_s.append(time.monotonic() - looked)
            if status.state == "failed":
                self.problems.append(status.message)
            if known is not None:
                self.answers += 1
                if first is None:
                    first = time.monotonic() - started
                    leave = time.monotonic() + stays if self.waits else leave
                if known.evaluation.pruned != chosen.pruned:
                    self.problems.append("an answer to another set")
            time.sleep(min(LOOK_EVERY_S, self.stays[0]))
        waited = time.monotonic() - started if first is None else first
        if first is not None or waited > max(self.waited_s, default=0.0):
            self.waited_s.append(waited)


def differences(study: Study, root: Path, seed: int = 0) -> list[str]:
    """Which of some answers are others when this process alone measures them, in an empty folder, as far."""
    answers = [found.evaluation for found in measured_sets(study, root) if found.evaluation.pruned]
    lm, wrong = reopen_model(study.model_record, study.name), []
    for answer in random.Random(seed).sample(answers, min(CHECKED, len(answers))):
        target = Target(study.name, answer.pruned, tuple(study.axes), answer.split)
        with tempfile.TemporaryDirectory() as empty:
            steps = evaluate_target(study, lm, target, store=EvaluationStore(empty))
            anew = next(step for step in steps if step.fraction_done >= answer.fraction_done)
        if anew.to_json() != answer.to_json():
            wrong.append(f"wrong numbers for {heads_text(answer.pruned)}")
    return wrong if answers else ["nothing was measured"]


def main() -> None:
    """Run the sessions on a copy of the study, and print a table; exit status 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--loops", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120)
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
        loops = [Session(client, study, scores, until, 1000 + seed, waits=False) for seed in range(options.loops)]
        for session in sessions + loops:
            session.start()
        time.sleep(options.seconds / 4)
        early = _memory(worker)
        for session in sessions + loops:
            session.join()
        late = _memory(worker)
        jobs._started[root].terminate()
        jobs._started.pop(root).wait(30)
        problems = [problem for session in sessions + loops for problem in session.problems] + differences(study, root)
    looks = [s for session in sessions for s in session.look_s]
    waits = [statistics.mean(session.waited_s) for session in sessions]
    longest = max(waits) / statistics.median(waits)
    if longest > MOST_WAITING:
        problems.append(f"a session waited {longest:.1f} times as long as the median one")
    rows = {
        "sessions": len(sessions),
        "sessions in a loop": len(loops),
        "moves of those": sum(s.moves for s in loops),
        "moves": sum(s.moves for s in sessions),
        "answers": sum(s.answers for s in sessions),
        "errors and wrong answers": len(problems),
        "a look, median ms": 1000 * statistics.median(looks),
        "a look, slowest ms": 1000 * max(looks),
        "first numbers, median session, s": statistics.median(waits),
        "the same, slowest session, of the median one": longest,
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
