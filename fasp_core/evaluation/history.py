"""What was measured so far: every pruned set of a study, with the name it was given, and its texts before and after.

Measurements come from `EvaluationStore` and are gone when its file is deleted. Names and pins are kept apart, see
`set_names`. No torch here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import pandas as pd

from fasp_core.errors import InputError
from fasp_core.evaluation.keys import EvaluationPlan, Identity, Target, pruned_name, study_identity
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.set_names import read_notes
from fasp_core.evaluation.store import EvaluationStore, read_evaluation
from fasp_core.evaluation.streams import metric_of
from fasp_core.head import Head
from fasp_core.models.compensation_choice import Compensate
from fasp_core.study.study import Study
from fasp_core.words.text_evidence import MarkedText

PAIRED_COLUMNS = (
    "axis",
    "group",
    "prompt_id",
    "prompt",
    "continuation_before",
    "continuation_after",
    "toxicity_before",
    "toxicity_after",
    "block",
    "place",
)


@dataclass(frozen=True)
class MeasuredSet:
    """One pruned set of heads as measured on one split, perhaps not to the end.

    `plan` is the key of the evaluation's plan, `streams` the keys of its texts and text windows, `changed` when it was
    last measured, in epoch seconds.
    """

    target: Target
    plan: str
    evaluation: Evaluation
    changed: float
    name: str = ""
    pinned: bool = False
    streams: dict[str, str] = field(default_factory=dict)


def measured_sets(
    study: Study,
    root: str | os.PathLike[str] | None = None,
    split: str | None = None,
    *,
    stream: str | None = None,
    identity: Identity | None = None,
) -> list[MeasuredSet]:
    """Every head set that was evaluated on the study's model, prompts, text and scorer, the newest first.

    With `stream`, those whose evaluation includes this stream of bias (see `streams`). Of a set that was evaluated
    several times, the evaluation that tells most is given, one per split: a complete one, then that of most axes, then
    the one measured furthest, then the newest. An imported study has none. `root` is the folder of studies, by default
    the one that holds this study; `identity` is `study_identity(study)`, where the caller has it already.
    """
    root = root or study.folder.parent
    if not study.has_model:
        return []
    identity = identity or study_identity(study)
    best: dict[Target, MeasuredSet] = {}
    rows = EvaluationStore(root).evaluations(identity.key)
    for found in _found(study, root, identity, (row for row in rows if stream in (None, *row[0].prompts))):
        key = replace(found.target, streams=())
        if split in (None, key.split) and (key not in best or _extent(found) > _extent(best[key])):
            best[key] = found
    return sorted(best.values(), key=lambda found: -found.changed)


def measured_set(study: Study, target: Target, *, identity: Identity | None = None) -> MeasuredSet | None:
    """What is known of one head set by at least the target's streams, or None: an answer without a model, at once.

    `identity` is `study_identity(study)`, where the caller has it already.
    """
    root = study.folder.parent
    if not study.has_model:
        return None
    identity = identity or study_identity(study)
    rows = EvaluationStore(root).evaluations(identity.key, target.heads, target.compensate)
    fitting = [row for row in rows if row[0].split == target.split and {*target.streams} <= {*row[0].prompts}]
    return max(_found(study, root, identity, fitting), key=_extent, default=None)


def paired_texts(
    plan: str,
    pruned: Iterable[Head],
    root: str | os.PathLike[str] | None = None,
    *,
    compensate: Compensate = "none",
) -> pd.DataFrame:
    """The continuations of one evaluation side by side: columns `PAIRED_COLUMNS`, one row per sample of either model.

    `block` and `place` say where in the evaluation of its axis a pair was sampled.

    `plan` is `MeasuredSet.plan`. The two texts of a pair are coupled. Raises InputError where the
    evaluation is gone, because its database was deleted.
    """
    store = EvaluationStore(root)
    made = store.plan(plan)
    if made is None:
        raise InputError("the texts of this evaluation are gone with its database; measure the set again")
    heads, rows = tuple(pruned), []
    for axis in (stream for stream in made.bias_streams if metric_of(stream) == "toxicity"):
        before, after = (store.blocks(made.streams[axis], off, compensate) for off in ((), heads))
        for block in sorted(before.keys() & after.keys()):
            both = zip(before[block], after[block], strict=True)
            rows += [(*_pair(*pair), block, place) for place, pair in enumerate(both)]
    return pd.DataFrame(rows, columns=list(PAIRED_COLUMNS))


def marked_key(stream: str) -> str:
    """The key under which the marked texts of a stream are kept, by pruned model and block."""
    return f"{stream} marked"


def marked_texts(
    found: MeasuredSet, axis: str, root: str | os.PathLike[str] | None = None
) -> dict[tuple[int, int], tuple[MarkedText, MarkedText]]:
    """The texts of the intact and of the pruned model that `marking` has marked, by block and place (`paired_texts`).

    The first token of each is the whole prompt.
    """
    store, key, target = EvaluationStore(root), found.streams[axis], found.target
    prompts = store.blocks(key, (), target.compensate)
    marked: dict[tuple[int, int], tuple[MarkedText, MarkedText]] = {}
    for block, record in store.blocks(marked_key(key), target.heads, target.compensate).items():
        for place, pair in enumerate(record if block in prompts else ()):
            prompt = prompts[block][place]["prompt"]
            before, after = (MarkedText([prompt, *text["tokens"]], text["log_ratios"]) for text in pair)
            marked[block, place] = before, after
    return marked


def _found(
    study: Study, root: str | os.PathLike[str], identity: Identity, rows: Iterable[tuple[EvaluationPlan, str, float]]
) -> Iterator[MeasuredSet]:
    """The rows that are evaluations of this study, of pruned sets, and legible, with what people noted of the sets."""
    notes = read_notes(root, study.name)
    for plan, text, changed in rows:
        evaluation = _parsed(text)
        if evaluation is None or not evaluation.pruned or not identity.covers(plan):
            continue
        note = notes.get(pruned_name(evaluation.pruned, evaluation.compensate), {})
        target = Target(study.name, evaluation.pruned, plan.bias_streams, plan.split, evaluation.compensate)
        noted = note.get("name", ""), note.get("pinned", False)
        yield MeasuredSet(target, plan.key, evaluation, changed, *noted, plan.streams)


_parsed = lru_cache(maxsize=2048)(read_evaluation)


def _extent(found: MeasuredSet) -> tuple[bool, int, float, float]:
    """How much is known of a set: whether it is complete, then its axes, how far it was measured, then the newest."""
    made = found.evaluation
    return made.done, len(made.after.axes) + len(made.after.odds), made.fraction_done, found.changed


def _pair(before: dict[str, Any], after: dict[str, Any]) -> tuple[Any, ...]:
    shared = (before[name] for name in ("axis", "group", "prompt_id", "prompt"))
    return (*shared, before["continuation"], after["continuation"], before["toxicity"], after["toxicity"])
