"""Two local workers against one: `python -m benchmarks.cluster [--model default] [--samples 256]`. Needs Ray.

The same small study is scored by one worker with one core, by two, and by two of which one is killed three times on the
way. Printed are the times of the first two and their ratio, and whether all studies have the same shards, byte for
byte. Times mean something on a quiet machine only.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from functools import partial

import psutil
import torch

from fasp_core.cli.output import print_table
from fasp_core.cluster.cluster import Cluster, ClusterChoice
from fasp_core.cluster.opening import open_cluster
from fasp_core.models.open_model import absolute_ref, open_model
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import ShardRecord, StudySettings
from fasp_core.toxicity.scorers import open_scorer

KILLS = 3
WORKER = "ray::Holder"  # how Ray calls the process of an actor


def scored(ref: str, cluster: Cluster | None, samples: int) -> tuple[float, dict[str, ShardRecord]]:
    """Seconds of a run on a model that is open, and the records of all its shards in their order."""
    lm = open_model(ref, device="cpu")
    with tempfile.TemporaryDirectory() as root:
        began = time.monotonic()
        study = score_heads(
            lm,
            axes=["gender_and_sex"],
            metrics=("toxicity", "likelihood"),
            budget=Budget(samples, 32, 0, likelihood_reads=120),
            settings=StudySettings(samples_per_shard=32, windows_per_shard=4, odds_per_shard=12),
            scorer=open_scorer("embedded"),
            root=root,
            cluster=cluster,
        )
        return time.monotonic() - began, dict(study.manifest.shards)


def kill_now_and_then(every_s: float) -> threading.Thread:
    """End a worker's process KILLS times, from a thread of its own."""

    def work() -> None:
        for _ in range(KILLS):
            time.sleep(every_s)
            workers = [child for child in psutil.Process().children(recursive=True) if _is_worker(child)]
            if workers:
                random.choice(workers).kill()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any(WORKER in part for part in process.cmdline())
    except psutil.Error:
        return False


def main() -> None:
    """Score thrice, and print a table; exit status 1 where the studies differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--samples", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ref = absolute_ref(options.model)
    seconds, records = {}, {}
    seconds["this process alone, one thread"], alone = scored(ref, None, options.samples)
    for name, workers, killed in (("one worker", 1, False), ("two workers", 2, False), ("two, killed", 2, True)):
        choice = ClusterChoice("local", most=workers)
        with open_cluster(choice, partial(open_model, ref), "cpu") as cluster:
            thread = kill_now_and_then(seconds["two workers"] / (KILLS + 2)) if killed else None
            seconds[name], records[name] = scored(ref, cluster, options.samples)
            if thread is not None:
                thread.join()
    same = {name: list(found.items()) == list(alone.items()) for name, found in records.items()}
    print_table(
        ("run", "seconds", "same shards"),
        [(name, f"{took:.1f}", same.get(name, "")) for name, took in seconds.items()],
    )
    print(f"one worker took {seconds['one worker'] / seconds['two workers']:.2f} times as long as two (aim: 1.7)")
    raise SystemExit(0 if all(same.values()) else 1)


if __name__ == "__main__":
    main()
