"""What a scorecard reads: sentence pairs of an axis, facts, passages. Each is a task of items, in blocks.

`scorecard` reads the items with the model; what it found of them, a few numbers each, becomes measures here. No torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fasp_core.data.order import shuffled
from fasp_core.data.pair_files import load_sentence_pairs
from fasp_core.data.passages import Passage, passages
from fasp_core.data.sentence_pairs import Scored, SentencePairs, load_facts
from fasp_core.stats.pair_measures import HIGH, LOW, Ideal, icat, pair_columns, stereoset_columns

BLOCK = 12  # items, so that the first rows come within seconds


@dataclass(frozen=True)
class Quantity:
    """A measure of a task: from the means of its columns, (…, k) to (…), and what would be ideal."""

    measure: str
    unit: str
    value: Callable[[np.ndarray], np.ndarray]
    ideal: Ideal


@dataclass(frozen=True)
class Task:
    """The n items of one kind and split.

    `items` are passages, or tuples of two or three sentences of which `scored` says what is scored. `key` names their
    blocks in the store, `unit` (n) what is resampled together; `columns` makes (n, k) of the numbers read.
    """

    key: str
    axis: str | None
    source: str
    items: tuple[Passage, ...] | tuple[tuple[str, ...], ...]
    scored: Scored | None
    unit: np.ndarray
    columns: Callable[[np.ndarray], np.ndarray]
    quantities: tuple[Quantity, ...]

    @property
    def blocks(self) -> int:
        """How many blocks its items make."""
        return -(-len(self.items) // BLOCK)

    def block(self, number: int) -> tuple[Any, ...]:
        """The items of a block."""
        return self.items[number * BLOCK : (number + 1) * BLOCK]


def _column(i: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda means: means[..., i]


def _ratio(i: int, j: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda means: means[..., i] / np.maximum(means[..., j], 1e-12)


PAIRS = (
    Quantity("more stereotyped sentence preferred", "share", _column(0), 0.5),
    Quantity("log-ratio of more and less stereotyped", "nats", _column(1), 0.0),
)
STEREOSET = (
    Quantity("stereotype score (SS)", "share", _column(0), 0.5),
    Quantity("language modeling score (LMS)", "share", _column(1), HIGH),
    Quantity("ICAT", "share", icat, HIGH),
)
FACTS = (
    Quantity("right word preferred", "share", _column(0), HIGH),
    Quantity("log-probability of the right word", "nats", _column(1), HIGH),
)
# Of words named, words asked for, loss in nats and tokens of a passage.
ABILITY = (
    Quantity("last word named", "share", _ratio(0, 1), HIGH),
    Quantity("loss per token", "nats", _ratio(2, 3), LOW),
)


def reading_tasks(fingerprint: str, dtype: str, split: str, sets: Sequence[SentencePairs] | None = None) -> list[Task]:
    """The tasks of one split: every axis of every set (by default the built-in one), then facts, then passages.

    `fingerprint` and `dtype` ("float32") are those of the model that reads: its blocks are kept under them.
    """
    made = [fingerprint, dtype, split]
    sets = [load_sentence_pairs()] if sets is None else sets
    tasks = [_pair_task(made, chosen, axis, split) for chosen in sets for axis in chosen.axes]
    return [task for task in (*tasks, _fact_task(made, split), _ability_task(made, split)) if task.items]


def size_key(fingerprint: str, dtype: str) -> str:
    """The key under which the sizes of a model's compact checkpoints are kept, as one block each."""
    return _key("size", [fingerprint, dtype])


def _pair_task(made: list[str], chosen: SentencePairs, axis: str, split: str) -> Task:
    frame = _shuffled(chosen.select(axis, split), axis)
    stereoset = bool((chosen.frame["unrelated"] != "").all())
    sides = ["more", "less", "unrelated"] if stereoset else ["more", "less"]
    return Task(
        key=_key("pairs", made, chosen.fingerprint, axis),
        axis=axis,
        source=chosen.name,
        items=tuple(frame[sides].itertuples(index=False, name=None)),
        scored=chosen.scored,
        unit=frame["unit"].to_numpy(),
        columns=stereoset_columns if stereoset else pair_columns,
        quantities=STEREOSET if stereoset else PAIRS,
    )


def _fact_task(made: list[str], split: str) -> Task:
    facts = load_facts()
    frame = _shuffled(facts.frame[facts.frame["split"] == split], "facts")
    return Task(
        key=_key("facts", made, facts.fingerprint),
        axis=None,
        source="facts",
        items=tuple(frame[["more", "less"]].itertuples(index=False, name=None)),
        scored=facts.scored,
        unit=frame["unit"].to_numpy(),
        columns=lambda scores: np.stack([pair_columns(scores)[:, 0], scores[:, 0]], -1),
        quantities=FACTS,
    )


def _ability_task(made: list[str], split: str) -> Task:
    found = passages(split)
    chosen = tuple(found[i] for i in shuffled(len(found), seed=0, stream="passages"))
    return Task(
        key=_key("passages", made, [passage.text for passage in chosen]),
        axis=None,
        source="built-in text",
        items=chosen,
        scored=None,
        unit=np.arange(len(chosen)),
        columns=lambda counts: counts,
        quantities=ABILITY,
    )


def _shuffled(frame: pd.DataFrame, stream: str) -> pd.DataFrame:
    """The rows in an order of their own, so that the first blocks are a fair sample."""
    return frame.iloc[shuffled(len(frame), seed=0, stream=stream)]


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(["reading", *parts]).encode()).hexdigest()[:16]
