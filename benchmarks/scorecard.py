"""How long a full scorecard of one set takes: `python -m benchmarks.scorecard [--axis gender_and_sex] [--split test]`.

The default model and built-in data; the set that published FASP prunes at γ = 0.3 and α = 0.1. Two parts, as `fasp
evaluate --scorecard` does them: the evaluation (texts of one axis, text windows), then what is read (sentence pairs,
facts, passages, sizes). Nothing is taken from what was measured before. Run it on a quiet machine; beside others, the
processor seconds of all threads say more than those of the clock.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable

import torch

from fasp_core.evaluation.blocks import MemoryStore
from fasp_core.evaluation.evaluate import evaluate_study
from fasp_core.evaluation.scorecard import scorecard
from fasp_core.evaluation.scorecard_result import evaluation_rows
from fasp_core.evaluation.scorecard_row import Row
from fasp_core.files.paths import PROJECT
from fasp_core.models.open_model import reopen_model
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.study import open_study


def main() -> None:
    """Measure both parts and print when the first row with an interval came, and when all were there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axis", default="gender_and_sex")
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    asked = parser.parse_args()
    study = open_study("default", PROJECT / "cache")
    heads = select_heads(study.scores(), "fasp", axis=asked.axis, gamma=0.3, alpha=0.1).pruned
    start = time.perf_counter()
    lm = reopen_model(study.model_record, study.name)
    opened, store = time.perf_counter() - start, MemoryStore()
    print(f"{len(heads)} heads, {asked.split}, {torch.get_num_threads()} threads; the model opens in {opened:.1f} s")
    how = {"split": asked.split, "store": store}
    measured = evaluate_study(study, lm, heads, [asked.axis], metrics=["toxicity"], **how)
    evaluation, taken = timed("evaluation", measured, evaluation_rows)
    read = scorecard(lm, heads, evaluation=evaluation, **how)
    card, more = timed("read", read, lambda card: card.rows[len(evaluation_rows(evaluation)) :])
    print(f"full scorecard of {len(card.rows)} rows: {taken + more:.0f} s")


def timed(part: str, steps: Iterable, rows_of: Callable[..., Iterable[Row]]) -> tuple:
    """The last of the steps and the seconds to it; prints them, and when the first row with an interval came."""
    start, busy, first = time.perf_counter(), time.process_time(), None
    for step in steps:
        if first is None and any(math.isfinite(row.compared.change.se) for row in rows_of(step)):
            first = time.perf_counter() - start
    taken, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"{part}: first row with an interval after {first:.1f} s, complete after {taken:.0f} s ({busy:.0f} s busy)")
    return step, taken


if __name__ == "__main__":
    main()
