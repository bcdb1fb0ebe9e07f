"""Faults of processes: jobs and workers killed at random moments. These measure, so they take a model."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import psutil

from benchmarks.faults.files import read_scores
from benchmarks.faults.tally import Tally, temporaries
from fasp_core.evaluation.database import Database
from fasp_core.evaluation.keys import Target
from fasp_core.jobs import client as workers
from fasp_core.jobs.client import EvaluationClient
from fasp_core.jobs.jobs import list_jobs, process_of, remove_job, start_job
from fasp_core.study.study import open_study


def kill_jobs(root: Path, study: str, kills: int, rng: random.Random, tally: Tally) -> None:
    """A scoring job killed at random moments and started again: no finished shard is lost or measured anew."""
    axis, ref = open_study(study, root).axes[0], open_study(study, root).manifest.model["ref"]
    command = ["score", f"--axes={axis}", f"--name={study}", "--minutes=5", "--", str(ref)]
    done = dict(open_study(study, root).manifest.shards)
    for _ in range(kills):
        job = start_job(command, key=f"score {study}", title="score", root=root)
        time.sleep(rng.uniform(0.2, 25))
        process = process_of(job.folder)
        if process is not None:
            family = [process, *process.children(recursive=True)]
            os.kill(process.pid, signal.SIGKILL)
            psutil.wait_procs(family, timeout=30)
            tally.check("killed job", not any(p.is_running() and not _zombie(p) for p in family), "it left a process")
        tally.count("killed job")
        now = dict(open_study(study, root).manifest.shards)
        tally.check("killed job", done.items() <= now.items(), "a finished shard is lost")
        state = next(found for found in list_jobs(root) if found.id == job.id).state
        tally.check("killed job", state == "lost", f"it is shown as {state}")
        read_scores(root, study)
        remove_job(job.id, root)
        done = now
    with open_study(study, root).writing():
        tally.check("killed job", temporaries(root) == [], "a temporary file is left")


def kill_workers(root: Path, study: str, kills: int, rng: random.Random, tally: Tally) -> None:
    """The evaluation's worker killed at random moments: it is started again, and no finished block is lost."""
    client, database = EvaluationClient(root), Database(root)
    opened = open_study(study, root)
    client.request("faults", Target(study, ((1, 1),), tuple(opened.axes)))
    count = 0
    for _ in range(kills):
        until = time.monotonic() + rng.uniform(0.2, 12)
        while time.monotonic() < until:
            client.latest("faults")
            time.sleep(0.2)
        worker = workers._started.get(client.root)
        if worker is not None and worker.poll() is None:
            worker.kill()
            worker.wait(30)
        tally.count("killed worker")
        now = database.read("select count(*) from blocks")[0][0]
        tally.check("killed worker", now >= count, "a finished block is lost")
        status = client.latest("faults")
        tally.check("killed worker", status.state != "failed" or "killed" in status.message, status.message)
        if status.state in ("failed", "done"):
            client.request("faults", Target(study, ((rng.randrange(8), 0),), tuple(opened.axes)))
        count = now
    if (worker := workers._started.pop(client.root, None)) is not None:
        worker.terminate()
        worker.wait(30)


def _zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
