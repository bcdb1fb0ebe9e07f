"""Two local workers against one: `python -m benchmarks.cluster [--model default] [--samples 32]`. Needs Ray.

The same small study is scored by this process alone, by one worker with one core and one thread, by two, and by two of
which one is killed three times on the way. Printed are the times, the ratio of the first two cluster runs, and whether
all studies have the same shards, byte for byte.

A time is that of one call of `score_heads`, from founding the study to its last shard. Before, every worker has opened
the model and scored a smaller study, so that starting Ray, opening and importing do not count: they take the same
seconds however long a run is, and are printed apart. Every stage has four shards of about two seconds each. Times mean
something on a quiet machine with two cores or more; it takes about four minutes there. The processor time of the
busiest worker is printed beside them: it tells how evenly the work was shared on a busy machine too.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psutil
import torch

from fasp_core.cli.output import print_table
from fasp_core.cluster.cluster import Cluster, ClusterChoice
from fasp_core.cluster.opening import open_cluster
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.open_model import absolute_ref, open_model
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import ShardRecord, StudySettings
from fasp_core.toxicity.scorers import open_scorer

KILLS = 3
AIM = 1.7
WORKER = "ray::Holder"  # how Ray calls the process of an actor
SHARDS = 4  # of every stage, so that two workers share it evenly


def scored(lm: LanguageModel, cluster: Cluster | None, samples: int) -> tuple[float, dict[str, ShardRecord]]:
    """Seconds of a run on a model that is open, and the records of all its shards in their order."""
    windows, reads = max(SHARDS, samples // 4), max(SHARDS, 3 * samples // 4)
    settings = StudySettings(
        samples_per_shard=samples // SHARDS, windows_per_shard=windows // SHARDS, odds_per_shard=reads // SHARDS
    )
    scorer = open_scorer("embedded")
    with tempfile.TemporaryDirectory() as root:
        began = time.monotonic()
        study = score_heads(
            lm,
            axes=["gender_and_sex"],
            metrics=("toxicity", "likelihood"),
            budget=Budget(samples, windows, 0, likelihood_reads=reads),
            settings=settings,
            scorer=scorer,
            root=root,
            cluster=cluster,
        )
        return time.monotonic() - began, dict(study.manifest.shards)


@contextmanager
def warmed(ref: str, lm: LanguageModel, workers: int) -> Iterator[tuple[Cluster, float]]:
    """So many workers that have measured before, and the seconds that starting them took."""
    began = time.monotonic()
    with open_cluster(ClusterChoice("local", most=workers), partial(open_model, ref), "cpu") as cluster:
        scored(lm, cluster, SHARDS)
        threads = {threads for threads, _ in asked(cluster)}
        if threads != {(1, "1")}:
            raise SystemExit(f"a worker has other threads than one: {threads}")
        yield cluster, time.monotonic() - began


def shared(lm: LanguageModel, cluster: Cluster, samples: int) -> tuple[float, dict[str, ShardRecord], float]:
    """As `scored`, and the processor seconds of the busiest worker."""
    before = asked(cluster)
    seconds, shards = scored(lm, cluster, samples)
    return seconds, shards, max(now - then for (_, then), (_, now) in zip(before, asked(cluster), strict=True))


def asked(cluster: Cluster) -> list[tuple[tuple[int, str | None], float]]:
    """Of each worker the threads of PyTorch, those of the libraries below it, and its processor seconds so far."""
    return list(cluster.map(_no_context, [_state] * cluster.n_workers, _go_on))


def _no_context(lm: LanguageModel) -> None:
    return None


def _go_on() -> None:
    return None


def _state(context: None) -> tuple[tuple[int, str | None], float]:
    return (torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")), time.process_time()


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
    """Score four times, and print a table; exit status 1 where the studies differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--samples", type=int, default=32, help=f"texts, a multiple of {SHARDS}")
    options = parser.parse_args()
    if options.samples < SHARDS or options.samples % SHARDS:
        parser.error(f"--samples is a multiple of {SHARDS}")
    torch.set_num_threads(1)
    ref, samples = absolute_ref(options.model), options.samples
    lm = open_model(ref, device="cpu")
    scored(lm, None, SHARDS)
    runs, started, busiest = {"this process, one thread": scored(lm, None, samples)}, {}, {}
    with warmed(ref, lm, 1) as (cluster, started["one worker"]):
        *runs["one worker"], busiest["one worker"] = shared(lm, cluster, samples)
    with warmed(ref, lm, 2) as (cluster, started["two workers"]):
        *runs["two workers"], busiest["two workers"] = shared(lm, cluster, samples)
        killing = kill_now_and_then(runs["two workers"][0] / (KILLS + 2))
        runs["two workers, killed"] = scored(lm, cluster, samples)
        killing.join()
    alone = list(runs["this process, one thread"][1].items())
    same = {name: list(shards.items()) == alone for name, (_, shards) in runs.items()}
    print_table(
        ("run", "seconds", "processor seconds of the busiest worker", "seconds to start and warm", "same shards"),
        [
            (
                name,
                f"{took:.1f}",
                *(f"{kept[name]:.1f}" if name in kept else "" for kept in (busiest, started)),
                "yes" if same[name] else "NO",
            )
            for name, (took, _) in runs.items()
        ],
    )
    one, two = (runs[name][0] for name in started)
    print(f"one worker took {one / two:.2f} times as long as two (aim: {AIM}), with one thread in each worker;")
    print(f"by processor time of the busiest {busiest['one worker'] / busiest['two workers']:.2f} times")
    raise SystemExit(0 if all(same.values()) else 1)


if __name__ == "__main__":
    main()
