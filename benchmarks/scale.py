"""What scoring larger models on more workers takes: `python -m benchmarks.scale [--keep FILE]`. Estimates, not runs.

Some small shards of every kind are measured on the default model with one thread, in processor time, so that what else
the machine does counts little; how the times of alike shards differ is kept. They are scaled to larger models by the
floating-point operations of a pass (two per weight and token) and, for knock-outs, by the number of heads, and to a
GPU by its speed. A run's schedule (stages one after another, shards in order, one process that writes) is then
simulated for 1 to 64 workers. What is assumed is printed, and can be changed by options.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fasp_core.cli.output import print_table
from fasp_core.cluster.cluster import HeldModel
from fasp_core.cluster.ordered import AHEAD
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.open_model import open_model
from fasp_core.scoring.budgets import BUDGETS, LOG_RATIO_TEXTS, Budget
from fasp_core.scoring.cost import BATCH_BYTES, GRADIENT_PASSES, PROGRAM_BYTES, ModelShape
from fasp_core.scoring.run import Unit
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings
from fasp_core.study.shard_names import TEXT
from fasp_core.toxicity.scorers import open_scorer

WINDOW_TOKENS, GPU_BYTES = 128, 80 * 2**30
KIND_OF = {"toxicity": "rating"}
WORKERS = (1, 2, 4, 8, 16, 32, 64)
MODELS = {  # parameters, layers, heads of each: of the Llama family
    "1 B": ModelShape(1_240_000_000, 16, 32, 2),
    "7 B": ModelShape(6_740_000_000, 32, 32, 2),
    "13 B": ModelShape(13_000_000_000, 40, 40, 2),
    "70 B": ModelShape(69_000_000_000, 80, 64, 2),
}
SIZES = {"samples": 128, "windows": 16, "odds": 60, "knockout": 8}  # units of a shard, as a study's settings have them


@dataclass(frozen=True)
class Kind:
    """What one unit (and head) of a kind of shard takes: seconds of one core, and how shards differ from their mean."""

    seconds: float
    spread: tuple[float, ...]


def schedule(stages: Sequence[Sequence[float]], workers: int, *, write: float = 0.0) -> float:
    """When the last shard of the last stage is written, in the unit of the shards' times.

    As `cluster.ordered.ordered_map` does it: shards begin in order on the first free worker, at most AHEAD for each
    worker before those in front of them are written; one process writes them in order, `write` each; a stage begins
    once the one before is written.
    """
    now = 0.0
    for times in stages:
        free, written = [now] * workers, []
        for number, seconds in enumerate(times):
            allowed = written[number - AHEAD * workers] if number >= AHEAD * workers else now
            end = max(heapq.heappop(free), allowed) + seconds
            heapq.heappush(free, end)
            written.append(max(end, written[-1] if written else now) + write)
        now = written[-1] if written else now
    return now


def shards(n: int, size: int) -> list[int]:
    """The units of the shards that hold the first `n` units, whole as `scoring.stage.shards_of` cuts them."""
    return [size] * math.ceil(n / size)


def run_stages(budget: Budget, axes: int, heads: int) -> list[tuple[str, list[int]]]:
    """The stages of a run's first pass by both metrics: kind, and the size of every shard (for knock-outs × heads)."""
    stages = [("gradient text", shards(budget.windows, SIZES["windows"])), ("knockout text", [])]
    stages[1][1].extend([heads] * budget.knockout_windows)
    for _ in range(axes):
        stages.append(("likelihood", shards(budget.likelihood_reads, SIZES["odds"])))
        if budget.likelihood_knockout:
            exact = shards(budget.likelihood_knockout, SIZES["knockout"])
            stages.append(("likelihood knockout", [size * heads for size in exact[:1]]))
            stages.append(("likelihood knockout", [size * heads // 10 for size in exact[1:]]))
    for _ in range(axes):
        texts = shards(budget.samples, SIZES["samples"])
        stages.append(("sampling", texts))
        stages.append(("rating", texts))
        stages.append(("gradient", shards(min(budget.samples, LOG_RATIO_TEXTS), SIZES["samples"])))
        stages.append(("prefixes", texts))
        stages.append(("advantage", texts))
    return stages


def unit_seconds(
    stages: Sequence[tuple[str, list[int]]], kinds: dict[str, Kind], factor: float, seed: int = 0
) -> list[list[float]]:
    """Seconds of every shard where one unit takes `factor` times as long; ratings do not depend on the model."""
    rng = np.random.default_rng(seed)
    found = []
    for kind, sizes in stages:
        by = 1.0 if kind in ("rating", "prefixes") else factor
        drawn = rng.choice(kinds[kind].spread, len(sizes))
        found.append([size * kinds[kind].seconds * by * float(r) for size, r in zip(sizes, drawn, strict=True)])
    return found


class Recorder:
    """A `cluster.Cluster` of this process alone, which notes what each shard takes to be measured and written."""

    n_workers = 1

    def __init__(self, lm: LanguageModel) -> None:
        self.lm, self.held = lm, HeldModel(lm.fingerprint, lm.dtype_name, lm.device.type)
        self.each: dict[str, list[float]] = {}  # seconds of a unit, by kind, shard by shard
        self.write: list[float] = []

    def map(
        self, setup: Callable[[LanguageModel], Any], tasks: Iterable[Unit], check: Callable[[], None]
    ) -> Iterator[Any]:
        """The tasks' results, one after another."""
        context = setup(self.lm)
        for task in tasks:
            began = time.process_time()
            result = task(context)
            taken = time.process_time() - began
            kind = task.stage.kind if task.stage.stream != TEXT else task.stage.title
            self.each.setdefault(KIND_OF.get(kind, kind), []).append(taken / task.shard.size)
            began = time.process_time()
            yield result
            self.write.append(time.process_time() - began)


def measured(lm: LanguageModel) -> tuple[dict[str, list[float]], float]:
    """Seconds of a unit by kind, shard by shard, and those in which a shard is written: of a small new study."""
    settings = StudySettings(samples_per_shard=32, windows_per_shard=4, odds_per_shard=12, knockout_samples_per_shard=2)
    budget = Budget(96, 16, 3, likelihood_reads=48, likelihood_knockout=6)
    recorder = Recorder(lm)
    with tempfile.TemporaryDirectory() as root:
        score_heads(
            lm,
            axes=["gender_and_sex"],
            metrics=("toxicity", "likelihood"),
            budget=budget,
            settings=settings,
            scorer=open_scorer("embedded"),
            root=root,
            cluster=recorder,
        )
    return recorder.each, statistics.median(recorder.write)


def kind_of(each: Sequence[float]) -> Kind:
    """From the seconds of a unit in several shards; the first also loads what it needs, so it counts only if alone."""
    counted = each[1:] or each
    mean = statistics.fmean(counted)
    return Kind(mean, tuple(seconds / mean for seconds in counted))


def gib(amount: float) -> str:
    return f"{amount / 2**30:.0f} GiB"


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.2g} h" if seconds >= 3600 else f"{seconds / 60:.2g} min"


def main() -> None:
    """Measure, scale, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axes", type=int, default=5)
    parser.add_argument("--gpu-tflops", type=float, default=90.0, help="that a run reaches: 0.3 of an A100's 312")
    parser.add_argument("--dollars", type=float, default=2.0, help="of a GPU and hour")
    parser.add_argument("--keep", type=Path, help="keep what was measured in this file, or use what it holds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lm = open_model("default", device="cpu")
    own = ModelShape(lm.model.num_parameters(), lm.layout.n_layers, lm.layout.heads_per_layer)
    kept = options.keep is not None and options.keep.is_file()
    each, write = json.loads(options.keep.read_text("utf-8")) if kept else measured(lm)
    if options.keep is not None:
        options.keep.write_text(json.dumps([each, write]), "utf-8")
    kinds = {kind: kind_of(seconds) for kind, seconds in each.items()}
    flops = 2 * own.parameters * WINDOW_TOKENS * GRADIENT_PASSES / kinds["gradient text"].seconds
    print(f"default model, {own.parameters / 1e6:.0f} million weights, {own.n_heads} heads, one core:")
    print_table(
        ("kind", "ms of a unit", "shards", "least and most, of the mean"),
        [
            (kind, f"{1000 * k.seconds:.3g}", len(k.spread), f"{min(k.spread):.2f} to {max(k.spread):.2f}")
            for kind, k in kinds.items()
        ],
    )
    print(f"one core: {flops / 1e9:.0f} GFLOP/s by windows; a shard is written in {1000 * write:.0f} ms")
    print(f"GPU: {options.gpu_tflops:g} TFLOP/s assumed, {options.dollars:g} dollars an hour; {options.axes} axes\n")
    rows = []
    for name, shape in MODELS.items():
        factor = shape.parameters / own.parameters * flops / (options.gpu_tflops * 1e12)
        gpus = math.ceil((shape.parameters * shape.weight_bytes + BATCH_BYTES + PROGRAM_BYTES) / GPU_BYTES)
        for budget in BUDGETS:
            stages = run_stages(BUDGETS[budget], options.axes, shape.n_heads)
            times = unit_seconds(stages, kinds, factor)
            more = write * shape.n_heads / own.n_heads
            took = {workers: schedule(times, workers, write=more) for workers in WORKERS}
            memory = shape.parameters * shape.weight_bytes + BATCH_BYTES
            price = took[1] / 3600 * options.dollars * gpus
            speed = {workers: took[1] / seconds for workers, seconds in took.items()}
            rows.append((name, budget, gib(memory), gpus, hours(took[1]), f"{price:.2g}", hours(took[64])))
            rows[-1] += tuple(f"{speed[workers]:.1f}" for workers in WORKERS[1:])
    head = ("model", "budget", "memory", "GPUs", "1 worker", "dollars", "64 workers")
    print_table((*head, *(f"×{workers}" for workers in WORKERS[1:])), rows)


if __name__ == "__main__":
    main()
