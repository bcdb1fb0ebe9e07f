"""Faults beside the app as it is served: servers killed that share a folder of studies, a study deleted while shown."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import psutil

from benchmarks.faults.kills import is_left
from benchmarks.faults.tally import Tally, temporaries
from benchmarks.faults.visitor import Server, Visitor
from fasp_core.evaluation.database import Database
from fasp_core.evaluation.history import measured_sets
from fasp_core.study.study import open_study

PAGES = ("heads", "prune", "compare", "correlations", "continuations", "export", "studies")
WORKER_ENDS_WITHIN_S = 35.0  # of its server: it looks after each block
MOMENTS_S = (0.2, 12.0)


def kill_servers(
    root: Path, study: str, kills: int, rng: random.Random, tally: Tally, moments: tuple[float, float] = MOMENTS_S
) -> None:
    """Two servers on one folder, each with a visitor who moves α on; one of them is killed, and started again.

    The other goes on answering, their worker is never left alone, and no finished block is lost.
    """
    kind, log, database, count = "killed server", root / "served.log", Database(root), 0
    servers = [Server(root, log) for _ in range(2)]
    visitors = [_look_at_prune(server, study, rng) for server in servers]
    try:
        for _ in range(kills):
            time.sleep(rng.uniform(*moments))
            which = rng.randrange(2)
            started = servers[which].kill()
            psutil.wait_procs(started, timeout=WORKER_ENDS_WITHIN_S)
            tally.count(kind)
            tally.check(kind, not any(map(is_left, started)), "it left a process")
            goes_on = visitors[1 - which].wait_for_run(servers[1 - which])
            tally.check(kind, goes_on, "the other server does not answer any more")
            now = database.read("select count(*) from blocks")[0][0]
            tally.check(kind, now >= count, "a finished block is lost")
            count = now
            for visitor in visitors:
                tally.check(kind, not visitor.faults, "; ".join(visitor.faults))
            for visitor in visitors:
                visitor.leave()
            servers[which] = Server(root, log)
            visitors = [_look_at_prune(server, study, rng) for server in servers]
        for server, visitor in zip(servers, visitors, strict=True):
            tally.check(kind, visitor.wait_for_run(server), "a server does not answer after all kills")
        _wait_for_an_answer(root, study, tally)
        tally.check(kind, _has_one_worker(root), "not one worker serves the folder")
    finally:
        for visitor in visitors:
            visitor.leave()
        psutil.wait_procs([p for server in servers for p in server.kill()], timeout=WORKER_ENDS_WITHIN_S)
    tally.check(kind, temporaries(root) == [], "a temporary file is left")


def delete_shown(root: Path, study: str, rng: random.Random, tally: Tally, most_s: float = 3.0) -> None:
    """A study deleted while a page shows it, and put back: no page fails, and each shows it again."""
    kept = root / "kept"
    shutil.copytree(root / study, kept)
    server = Server(root, root / "served.log")
    try:
        for page in PAGES:
            visitor = Visitor(server, page, f"study={study}")
            visitor.start()
            tally.check(page, visitor.wait_for_run(server), "it does not open")
            time.sleep(rng.uniform(0, most_s))  # somewhere in a run, or between two
            shutil.rmtree(root / study)
            tally.count("study deleted while shown")
            seen = [visitor.wait_for_run(server) for _ in range(2)]
            shutil.copytree(kept, root / study)
            seen += [visitor.wait_for_run(server) for _ in range(2)]
            tally.check(page, all(seen), "it does not answer any more")
            tally.check(page, not visitor.faults, "; ".join(visitor.faults))
            visitor.leave()
    finally:
        psutil.wait_procs(server.kill(), timeout=WORKER_ENDS_WITHIN_S)
        shutil.rmtree(kept)


def _look_at_prune(server: Server, study: str, rng: random.Random) -> Visitor:
    visitor = Visitor(server, "prune", f"study={study}&alpha={rng.randrange(2, 30) / 100}&anyway=1")
    visitor.start()
    return visitor


def _wait_for_an_answer(root: Path, study: str, tally: Tally, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not measured_sets(open_study(study, root), root):
        if time.monotonic() > deadline:
            tally.problems.append("killed server: nothing was measured in the end")
            return
        time.sleep(0.2)


def _has_one_worker(root: Path) -> bool:
    """Whether it comes to that: one that was started beside another one finds the lock taken, and ends."""
    deadline = time.monotonic() + WORKER_ENDS_WITHIN_S
    while time.monotonic() < deadline:
        if sum(_is_worker(process, root) for process in psutil.process_iter(["cmdline"])) == 1:
            return True
        time.sleep(0.2)
    return False


def _is_worker(process: psutil.Process, root: Path) -> bool:
    command = process.info["cmdline"] or []
    return "fasp_core.jobs.worker_process" in command and str(root) in command and is_left(process)
