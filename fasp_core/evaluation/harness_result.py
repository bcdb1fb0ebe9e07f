"""What the LM evaluation harness measured, before and after pruning, as rows of a scorecard. No torch here.

Of each task and metric one value is kept, and the values of as many bootstrap samples of the documents. Both models
have the same samples, so the change is known from pairs of documents, whatever the metric.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from fasp_core.evaluation.scorecard_row import Row
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.head import Head
from fasp_core.models.compensation_choice import Compensate
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.pair_measures import HIGH, LOW, MIN_UNITS, NONE, compared_estimates
from fasp_core.stats.resampling import replicate_counts

Record = dict[str, Any]  # task, metric, ideal, n, documents (a digest), values (1 + replicates)


def replicates(items: Sequence[Any], aggregate: Callable[[list[Any]], float], task: str) -> list[float]:
    """A metric of a task's documents, then of bootstrap samples of them, (1 + R), from one item for each document.

    The samples are those of the task's name and number of documents.
    """
    counts = replicate_counts(np.zeros(len(items), int), zlib.crc32(task.encode())).astype(int)
    drawn = (np.repeat(np.arange(len(items)), row).tolist() for row in counts)
    return [float(aggregate([items[i] for i in places])) for places in drawn]


def pooled(name: str, metric: str, parts: Sequence[Record], by_size: bool) -> Record:
    """The metric of a group of tasks: the mean over its tasks, or `by_size` over their documents."""
    weights = np.array([part["n"] if by_size else 1 for part in parts], float)
    values = np.average([part["values"] for part in parts], axis=0, weights=weights)
    return {
        "task": name,
        "metric": metric,
        "ideal": parts[0]["ideal"],
        "n": sum(part["n"] for part in parts),
        "documents": digest(part["documents"] for part in parts),
        "values": values.tolist(),
    }


def digest(parts: Iterable[str]) -> str:
    """16 hex digits over texts in their order."""
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()[:16]


def key_start(fingerprint: str, dtype: str) -> str:
    """What the keys of all that the harness measured of a model begin with."""
    return f"harness.{digest([fingerprint, dtype])}."


def same_documents(before: Record, after: Record) -> bool:
    """Whether two records are of the same tasks, metrics and documents."""

    def asked(record: Record) -> list[tuple[str, ...]]:
        return [(row["task"], row["metric"], row["documents"]) for row in record["rows"]]

    return asked(before) == asked(after)


def task_rows(before: Record, after: Record) -> list[Row]:
    """Rows of one request, from what was kept of it for the intact and for the pruned model."""
    return [_row(*pair, before["source"]) for pair in zip(before["rows"], after["rows"], strict=True)]


def _row(before: Record, after: Record, source: str) -> Row:
    n = before["n"]
    first, second = np.array(before["values"]), np.array(after["values"])
    parts = [Estimate.of_replicates(each, n, n if n >= MIN_UNITS else 1) for each in (first, second, second - first)]
    measure = f"{before['task']} {before['metric']}"
    return Row(measure, None, f"{source}, {n} documents", "", compared_estimates(*parts, ideal=before["ideal"]))


def ideal_of(higher_is_better: bool | None) -> str:
    """Which direction of a metric is better, as the scorecard says it."""
    return NONE if higher_is_better is None else HIGH if higher_is_better else LOW


def kept_task_rows(
    store: EvaluationStore, fingerprint: str, dtype: str, heads: Iterable[Head], compensate: Compensate = "none"
) -> list[Row]:
    """The rows of every task that was measured of a set; of a task, those with the most documents."""
    best: dict[str, tuple[Record, Record]] = {}
    for before, after in _kept(store, key_start(fingerprint, dtype), tuple(heads), compensate):
        known = best.get(before["name"])
        if known is None or _documents(before) >= _documents(known[0]):
            best[before["name"]] = before, after
    return [row for name in sorted(best) for row in task_rows(*best[name])]


def _kept(
    store: EvaluationStore, start: str, heads: tuple[Head, ...], compensate: Compensate
) -> Iterator[tuple[Record, Record]]:
    for key in store.streams(start, heads, compensate):
        before, after = (store.blocks(key, off, compensate).get(0) for off in ((), heads))
        if before and after and same_documents(before, after):
            yield before, after


def _documents(record: Record) -> int:
    return sum(row["n"] for row in record["rows"])
