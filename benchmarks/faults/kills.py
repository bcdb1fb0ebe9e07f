"""Faults of processes: jobs, drivers of a cluster and workers killed at random moments. These measure, with a model."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from benchmarks.faults.files import read_scores
from benchmarks.faults.tally import Tally, temporaries
from fasp_core.evaluation.database import Database
from fasp_core.evaluation.keys import Target
from fasp_core.files.paths import PROJECT
from fasp_core.jobs import client as workers
from fasp_core.jobs.client import EvaluationClient
from fasp_core.jobs.jobs import list_jobs, process_of, remove_job, start_job
from fasp_core.study.manifest import ShardRecord
from fasp_core.study.study import open_study

ENDS_WITHIN_S = 90.0  # all that a killed process had started; agents of Ray look for their cluster for a minute
JOB_MOMENTS_S = (0.2, 25.0)
DRIVER_MOMENTS_S = (0.2, 40.0)  # Ray takes ten seconds and more to start
WORKER_MOMENTS_S = (0.2, 12.0)

Moments = tuple[float, float]


def kill_jobs(
    root: Path, study: str, kills: int, rng: random.Random, tally: Tally, moments: Moments = JOB_MOMENTS_S
) -> None:
    """A scoring job killed at random moments and started again: no finished shard is lost or measured anew."""
    _kill_runs("killed job", partial(_start_job, root, study), root, study, kills, rng, tally, moments)


def kill_drivers(
    root: Path, study: str, kills: int, rng: random.Random, tally: Tally, moments: Moments = DRIVER_MOMENTS_S
) -> None:
    """The same of a job that scores on a cluster, with all processes of the cluster.

    Without Ray the cluster is a made-up one in the run's own process: nothing but the files is tried then.
    """
    if not _has_ray():
        kind, start = "killed driver of a made-up cluster, for want of Ray", partial(_start_made_up, root, study)
    else:
        kind, start = "killed driver of Ray", partial(_start_job, root, study, "--cluster=local", "--workers=2")
    _kill_runs(kind, start, root, study, kills, rng, tally, moments)


def _has_ray() -> bool:
    try:
        import ray.exceptions  # noqa: F401
    except ImportError:
        return False
    return True


def _start_job(root: Path, study: str, *options: str) -> psutil.Process | None:
    axis, ref = open_study(study, root).axes[0], open_study(study, root).manifest.model["ref"]
    command = ["score", f"--axes={axis}", f"--name={study}", "--minutes=5", *options, "--", str(ref)]
    return process_of(start_job(command, key=f"score {study}", title="score", root=root).folder)


def _start_made_up(root: Path, study: str) -> psutil.Process:
    command = [sys.executable, "-m", "benchmarks.faults.made_up_driver", str(root), study]
    return psutil.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL)


def _kill_runs(
    kind: str,
    start: Callable[[], psutil.Process | None],
    root: Path,
    study: str,
    kills: int,
    rng: random.Random,
    tally: Tally,
    moments: Moments,
) -> None:
    done: dict[str, ShardRecord] = dict(open_study(study, root).manifest.shards)
    family: list[psutil.Process] = []
    for _ in range(kills):
        process = start()
        time.sleep(rng.uniform(*moments))
        if process is not None and is_left(process):
            tally.count(kind)
            family += [*process.children(recursive=True), process]
            process.kill()
            psutil.wait_procs([process], timeout=ENDS_WITHIN_S)
        else:
            tally.problems.append(f"{kind}: it had ended by itself")
        now = dict(open_study(study, root).manifest.shards)
        tally.check(kind, done.items() <= now.items(), "a finished shard is lost, or was measured anew")
        for job in list_jobs(root):
            if job.key == f"score {study}":
                tally.check(kind, job.state == "lost", f"it is shown as {job.state}: {job.message}")
                remove_job(job.id, root)
        read_scores(root, study)
        done = now
    with open_study(study, root).writing():
        tally.check(kind, temporaries(root) == [], "a temporary file is left")
    psutil.wait_procs(family, timeout=ENDS_WITHIN_S)
    left = [member for member in family if is_left(member)]
    tally.check(kind, not left, f"{len(left)} of the processes that were started are left")


def kill_workers(
    root: Path, study: str, kills: int, rng: random.Random, tally: Tally, moments: Moments = WORKER_MOMENTS_S
) -> None:
    """The evaluation's worker killed at random moments: it is started again, and no finished block is lost."""
    client, database = EvaluationClient(root), Database(root)
    opened = open_study(study, root)
    client.request("faults", Target(study, ((1, 1),), tuple(opened.axes)))
    count = 0
    for _ in range(kills):
        until = time.monotonic() + rng.uniform(*moments)
        while time.monotonic() < until:
            client.latest("faults")
            time.sleep(0.2)
        worker = workers._started.get(client.root)
        if worker is not None and worker.poll() is None:
            worker.kill()
            worker.wait(ENDS_WITHIN_S)
        tally.count("killed worker")
        now = database.read("select count(*) from blocks")[0][0]
        tally.check("killed worker", now >= count, "a finished block is lost")
        status = client.latest("faults")
        tally.check("killed worker", status.state != "failed" or "killed" in status.message, status.message)
        if status.state in ("failed", "done"):
            client.request("faults", Target(study, ((rng.randrange(opened.n_layers), 0),), tuple(opened.axes)))
        count = now
    if (worker := workers._started.pop(client.root, None)) is not None:
        worker.terminate()
        worker.wait(ENDS_WITHIN_S)


def is_left(process: psutil.Process) -> bool:
    """Whether a process still runs; one that only waits for its exit to be read does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
