"""What was measured so far: every pruned set of a study, its texts before and after, and the names people gave sets.

Measurements come from the database of evaluations and may be deleted with it. Names and pins cannot be measured again,
so they are a small file of their own beside the studies, `.sets/STUDY.json`. No torch here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from .errors import InputError
from .estimates import Evaluation
from .evaluation_plan import EvaluationPlan, Identity, study_identity
from .files import write_atomic, write_errors
from .paths import cache_root
from .selection import Head
from .store import EvaluationStore, read_evaluation
from .study import Study

LONGEST_NAME = 60
PAIRED_COLUMNS = (
    "axis", "group", "prompt_id", "prompt", "continuation_before", "continuation_after", "toxicity_before",
    "toxicity_after",
)  # fmt: skip


@dataclass(frozen=True)
class MeasuredSet:
    """One pruned set of heads as measured on one split, perhaps not to the end; `changed` is when, in epoch seconds."""

    plan: str
    pruned: tuple[Head, ...]
    split: str
    axes: tuple[str, ...]
    evaluation: Evaluation
    changed: float
    name: str = ""
    pinned: bool = False


def heads_text(heads: Iterable[Head]) -> str:
    """A head set in one word, for addresses and keys: `0.3-5.1`; nothing for no head."""
    return "-".join(f"{layer}.{head}" for layer, head in sorted(heads))


def measured_sets(
    study: Study, root: str | os.PathLike | None = None, split: str | None = None, *, identity: Identity | None = None
) -> list[MeasuredSet]:  # fmt: skip
    """Every head set that was evaluated on the study's model, prompts, text and scorer, the newest first.

    None for imported scores. A set that was measured on different axes counts once per split, as where most is known.
    `root` is the folder of studies, by default the one that holds this study; `identity` is `study_identity(study)`,
    where the caller has it already.
    """
    root = root or study.folder.parent
    if not study.has_model:
        return []
    notes = _notes(root, study.name)
    best: dict[tuple[str, tuple[Head, ...]], MeasuredSet] = {}
    identity = identity or study_identity(study)
    for plan, text, changed in EvaluationStore(root).evaluations(identity.key):
        found = _measured(plan, text, changed, notes)
        if found is None or split not in (None, found.split) or not identity.covers(plan):
            continue
        key = (found.split, found.pruned)
        if key not in best or _extent(found) > _extent(best[key]):
            best[key] = found
    return sorted(best.values(), key=lambda found: -found.changed)


def measured_set(
    study: Study, pruned: Iterable[Head], axes: Iterable[str], split: str, root: str | os.PathLike | None = None,
    *, identity: Identity | None = None,
) -> MeasuredSet | None:  # fmt: skip
    """What is known of one head set on at least these axes, or None: an answer without a model, in milliseconds.

    `identity` is `study_identity(study)`, where the caller has it already.
    """
    root = root or study.folder.parent
    if not study.has_model:
        return None
    heads = json.dumps(tuple(sorted(set(pruned))))
    identity, axes, notes = identity or study_identity(study), set(axes), _notes(root, study.name)
    rows = EvaluationStore(root).evaluations(identity.key, heads)
    found = (
        _measured(*row, notes)
        for row in rows
        if row[0].split == split and axes <= set(row[0].axes) and identity.covers(row[0])
    )
    return max(filter(None, found), key=_extent, default=None)


def paired_texts(plan: str, pruned: Iterable[Head], root: str | os.PathLike | None = None) -> pd.DataFrame:
    """The continuations of one evaluation side by side: columns `PAIRED_COLUMNS`, one row per sample of either model.

    `plan` is `MeasuredSet.plan`. The two texts of a pair are coupled. Raises InputError where the
    evaluation is gone, because its database was deleted.
    """
    store = EvaluationStore(root)
    made = store.plan(plan)
    if made is None:
        raise InputError("the texts of this evaluation are gone with its database; measure the set again")
    heads = json.dumps(tuple(sorted(set(pruned))))
    rows = []
    for axis in made.axes:
        before, after = (store.blocks(made.streams[axis], name) for name in ("[]", heads))
        for block in sorted(before.keys() & after.keys()):
            rows += [_pair(one, other) for one, other in zip(before[block], after[block], strict=True)]
    return pd.DataFrame(rows, columns=list(PAIRED_COLUMNS))


def pareto_front(ppl: Iterable[float], bias: Iterable[float]) -> np.ndarray:
    """Which points no other one beats, (n) bool: none has both lower perplexity and lower bias, or equals in one.

    Of (20, 0.3), (25, 0.1), (26, 0.2) the last is beaten by the second. Points with a NaN are never on the front.
    """
    points = np.column_stack([np.asarray(list(ppl), float), np.asarray(list(bias), float)])
    known = np.isfinite(points).all(axis=1)
    as_good = (points[None, :, :] <= points[:, None, :]).all(axis=2) & known[None, :]
    better = (points[None, :, :] < points[:, None, :]).any(axis=2)
    return known & ~(as_good & better).any(axis=1)


def name_set(study: Study, pruned: Iterable[Head], name: str, root: str | os.PathLike | None = None) -> None:
    """Give a head set a name, or with "" take it away; raises InputError for one that is too long."""
    name = " ".join(name.split())
    if len(name) > LONGEST_NAME:
        raise InputError(f"the name has {len(name)} characters; use at most {LONGEST_NAME}")
    _note(study, pruned, root, name=name)


def pin_set(study: Study, pruned: Iterable[Head], pinned: bool, root: str | os.PathLike | None = None) -> None:
    """Keep a head set in sight, or no longer."""
    _note(study, pruned, root, pinned=pinned)


def _measured(plan: EvaluationPlan, text: str, changed: float, notes: dict[str, Any]) -> MeasuredSet | None:
    evaluation = _parsed(text)
    if evaluation is None or not evaluation.pruned:
        return None
    note = notes.get(heads_text(evaluation.pruned)) or {}
    return MeasuredSet(
        plan=plan.key, pruned=tuple(evaluation.pruned), split=plan.split, axes=plan.axes, evaluation=evaluation,
        changed=changed, name=note.get("name", ""), pinned=note.get("pinned", False),
    )  # fmt: skip


_parsed: Callable[[str], Evaluation | None] = lru_cache(maxsize=2048)(read_evaluation)


def _extent(found: MeasuredSet) -> tuple[int, float, float]:
    """How much is known of a set: axes first, then how far it was measured, then the newest."""
    return len(found.evaluation.after.bias), found.evaluation.fraction_done, found.changed


def _pair(before: dict[str, Any], after: dict[str, Any]) -> tuple[Any, ...]:
    shared = (before[name] for name in ("axis", "group", "prompt_id", "prompt"))
    return (*shared, before["continuation"], after["continuation"], before["toxicity"], after["toxicity"])


def _notes(root: str | os.PathLike | None, study: str) -> dict[str, Any]:
    """What people noted of a study's sets; a damaged file counts as empty, and is written anew by the next note."""
    try:
        notes = json.loads(_notes_file(root, study).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _note(study: Study, pruned: Iterable[Head], root: str | os.PathLike | None, **changes: Any) -> None:
    root = root or study.folder.parent
    with _writing(_notes_file(root, study.name)) as path:
        notes, key = _notes(root, study.name), heads_text(pruned)
        notes[key] = {**(notes.get(key) or {}), **changes}
        if not any(notes[key].values()):
            del notes[key]
        text = json.dumps(notes, indent=1, ensure_ascii=False)
        write_atomic(path, lambda temporary: temporary.write_text(text, "utf-8"))


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            yield path


def _notes_file(root: str | os.PathLike | None, study: str) -> Path:
    return Path(cache_root(root)) / ".sets" / f"{study}.json"
