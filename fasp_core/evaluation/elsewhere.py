"""The blocks of an evaluation, measured by the workers of a cluster and put into the store here, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from fasp_core.cluster.cluster import Cluster
from fasp_core.data.pairs import PairSet
from fasp_core.data.prompt_set import PromptSet
from fasp_core.evaluation.blocks import LOG_PROBABILITIES, BlockStore, MemoryStore, Work, measured_block
from fasp_core.evaluation.keys import EvaluationSettings, ScorerName, pruned_name
from fasp_core.head import Head
from fasp_core.models.compensation_choice import Compensate
from fasp_core.models.language_model import LanguageModel
from fasp_core.progress import check_stop
from fasp_core.toxicity.scorers import Scorer, reopen_scorer


@dataclass(frozen=True)
class WorkSetup:
    """Plain data that another process makes the same `Work` of, on a model of its own."""

    streams: tuple[str, ...]
    split: str
    prompts: PromptSet
    windows: pd.DataFrame
    scorer: tuple[str, str, str] | ScorerName  # name, what opens it, fingerprint
    settings: EvaluationSettings
    pairs: PairSet
    compensate: Compensate

    @classmethod
    def of(cls, work: Work) -> WorkSetup:
        """What makes a work like this one; only the evaluation itself is told to stop."""
        scorer = work.scorer
        named = scorer if isinstance(scorer, ScorerName) else (scorer.name, scorer.ref, scorer.fingerprint)
        prompts, windows = work.prompts, work.window_table
        return cls(work.streams, work.split, prompts, windows, named, work.settings, work.pairs, work.compensate)

    def __call__(self, lm: LanguageModel) -> Work:
        """The work; raises InputError where the scorer is another one here."""
        if isinstance(self.scorer, ScorerName):
            scorer: Scorer | ScorerName = self.scorer
        else:
            scorer = reopen_scorer(*self.scorer, study="this run", device=lm.device.type)
        return Work(
            lm,
            self.streams,
            self.split,
            self.prompts,
            self.windows,
            scorer,
            self.settings,
            None,
            self.pairs,
            self.compensate,
        )


@dataclass(frozen=True)
class Step:
    """One block of a stream of the intact and of the pruned model; `known` are its records that are there, by name."""

    stream: str
    block: int
    heads: tuple[Head, ...]
    known: dict[str, Any]

    def __call__(self, work: Work) -> dict[str, Any]:
        """The records that were not known, by name."""
        store, key = MemoryStore(), work.plan.streams[self.stream]
        for name, record in self.known.items():
            store.put(key, name, self.block, record)
        for heads in dict.fromkeys([(), self.heads]):
            measured_block(work, self.stream, heads, self.block, store)
        records = store.of_block(key, self.block)
        return {name: record for name, record in records.items() if name not in self.known}


def measured_elsewhere(
    cluster: Cluster, work: Work, steps: Sequence[tuple[str, int]], heads: tuple[Head, ...], store: BlockStore
) -> Iterator[tuple[str, int]]:
    """The steps in their order, each once the store has its blocks; raises Cancelled once `work.stop()` is true."""
    names = ("", pruned_name(heads, work.compensate), LOG_PROBABILITIES)

    def known(stream: str, block: int) -> dict[str, Any]:
        found = {name: store.get(work.plan.streams[stream], name, block) for name in dict.fromkeys(names)}
        return {name: record for name, record in found.items() if record is not None}

    missing = [step for step in steps if not set(names[:2]) <= known(*step).keys()]
    tasks = (Step(stream, block, heads, known(stream, block)) for stream, block in missing)
    results = cluster.map(WorkSetup.of(work), tasks, partial(check_stop, work.stop, "the evaluation"))
    lacking = set(missing)
    for stream, block in steps:
        if (stream, block) in lacking:
            for name, record in next(results).items():
                store.put(work.plan.streams[stream], name, block, record)
        yield stream, block
