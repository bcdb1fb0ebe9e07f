"""A scorecard: rows of before, after and change, and what of one is kept in the store. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from fasp_core.data.sentence_pairs import SentencePairs
from fasp_core.evaluation.harness_result import kept_task_rows
from fasp_core.evaluation.reading_tasks import Task, reading_tasks, size_key
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.scorecard_row import Row
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.head import Head
from fasp_core.models.compensation_choice import Compensate
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.pair_measures import HIGH, LOW, NONE, compared, compared_estimates
from fasp_core.study.study import Study

CHECKPOINT = "compact checkpoint"  # what counted rows are of


@dataclass(frozen=True)
class Scorecard:
    """What changed without the heads `pruned`, on one split; measures that have no number yet have no row.

    `compensate` is as in `evaluate`.
    """

    pruned: tuple[Head, ...]
    split: str
    rows: tuple[Row, ...]
    fraction_done: float
    compensate: Compensate = "none"

    @property
    def done(self) -> bool:
        """Whether everything has been measured."""
        return self.fraction_done >= 1

    @property
    def exploratory(self) -> bool:
        """Whether its numbers come from the split on which heads are chosen: they suggest, and prove nothing."""
        return self.split != "test"


def kept_scorecard(
    study: Study,
    pruned: Iterable[Head],
    *,
    split: str,
    store: EvaluationStore,
    evaluation: Evaluation | None = None,
    compensate: Compensate = "none",
    pairs: Sequence[SentencePairs] | None = None,
) -> Scorecard | None:
    """What is kept of the scorecard of a study's model, without opening the model; None where nothing was read yet.

    The rows of the harness's tasks come last, where any were measured of the set; they are of neither split.
    """
    heads, model = tuple(sorted(set(pruned))), study.manifest.model
    made = str(model.get("fingerprint") or ""), str(model.get("dtype") or "float32")
    tasks = reading_tasks(*made, split, pairs)
    rows: list[Row] = []
    done = 0
    for task in tasks:
        before, after = (store.blocks(task.key, off, compensate) for off in ((), heads))
        whole = list(takewhile(lambda block: block in before and block in after, range(task.blocks)))  # noqa: B023
        if whole:
            rows += task_rows(task, *([row for block in whole for row in part[block]] for part in (before, after)))
            done += len(whole)
    if not done:
        return None
    sizes = store.blocks(size_key(*made), heads, compensate).get(0)
    rows += [*size_rows(sizes or []), *kept_task_rows(store, *made, heads, compensate)]
    fraction = (done + (sizes is not None)) / n_steps(tasks, heads)
    return Scorecard(heads, split, (*evaluation_rows(evaluation), *rows), fraction, compensate if heads else "none")


def n_steps(tasks: Sequence[Task], heads: Sequence[Head]) -> int:
    """The steps of a scorecard: a block each and, where heads go, the sizes."""
    return sum(task.blocks for task in tasks) + bool(heads)


def task_rows(task: Task, before: list[list[float]], after: list[list[float]]) -> list[Row]:
    """The rows of a task's measures, from the numbers of its first items."""
    unit = np.unique(task.unit[: len(before)], return_inverse=True)[1]
    first, second = (task.columns(np.array(part, float)) for part in (before, after))
    return [
        Row(q.measure, task.axis, task.source, q.unit, compared(first, second, unit, q.value, q.ideal))
        for q in task.quantities
    ]


def size_rows(sizes: Sequence[Sequence[int]]) -> list[Row]:
    """Parameters and bytes before and after (see `models.size`): counted, so exact; nothing where there are none."""
    if not sizes:
        return []
    return [
        Row(measure, None, CHECKPOINT, unit, compared_estimates(*map(_exact, (b, a, a - b)), ideal=LOW))
        for measure, unit, b, a in zip(("parameters", "size on disk"), ("", "bytes"), *sizes, strict=True)
    ]


def _exact(value: float) -> Estimate:
    return Estimate(float(value), 0.0, 1)


def evaluation_rows(evaluation: Evaluation | None) -> list[Row]:
    """Bias of every axis by toxicity and by likelihood, perplexity and degeneration, as `evaluate` measured them."""
    if evaluation is None:
        return []
    parts = (evaluation.before, evaluation.after, evaluation.change)
    rows = [
        Row("bias", axis, name, unit, compared_estimates(*(part.bias_by(metric)[axis] for part in parts), ideal=LOW))
        for metric, name, unit in (("toxicity", "toxicity", ""), ("likelihood", "log-odds", "nats"))
        for axis in evaluation.change.bias_by(metric)
    ]
    if math.isfinite(evaluation.change.ppl.value):
        rows.append(Row("perplexity", None, "text windows", "", compared_estimates(*(p.ppl for p in parts), ideal=LOW)))
    kinds = (("repetition", "share", LOW), ("distinct_bigrams", "share", HIGH), ("length", "words", NONE))
    for name, unit, ideal in kinds:
        if name in evaluation.change.degeneration:
            made = compared_estimates(*(part.degeneration[name] for part in parts), ideal=ideal)
            rows.append(Row(name.replace("_", " "), None, "continuations", unit, made))
    return rows
