"""How a comparison measures pruned models: each against the intact one, and one against another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from fasp_core.cluster.cluster import Cluster
from fasp_core.comparison.configurations import Pruned
from fasp_core.evaluation.blocks import BlockStore, Work
from fasp_core.evaluation.difference import measured_difference
from fasp_core.evaluation.evaluate import evaluate
from fasp_core.evaluation.keys import EvaluationSettings, ScorerName, study_settings
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.evaluation.streams import stream_of
from fasp_core.models.language_model import LanguageModel
from fasp_core.progress import Stop
from fasp_core.study.study import Study
from fasp_core.study.views import study_pairs
from fasp_core.toxicity.scorers import Scorer


class Measure(Protocol):
    """Measures pruned models on a split, each in so many blocks with the noise of a seed."""

    def __call__(self, model: Pruned, split: str, seed: int, blocks: int) -> Iterator[Evaluation]:
        """Ever more precise: the model against the intact one."""
        ...

    def difference(self, model: Pruned, other: Pruned, split: str, seed: int, blocks: int) -> Evaluation:
        """The model against another pruned one, after both were measured; before is the other."""
        ...


class StudyMeasure:
    """Measures as `evaluate_study` does, the bias of `axes` by `metric`; seed 0 shares the app's blocks.

    Results go to the database beside the study, and settings are the app's, unless others are given.
    """

    def __init__(
        self,
        lm: LanguageModel,
        study: Study,
        axes: Sequence[str],
        metric: str,
        *,
        scorer: Scorer | ScorerName,
        store: BlockStore | None = None,
        settings: EvaluationSettings | None = None,
        stop: Stop | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self.lm, self.axes, self.metric, self.scorer, self.stop, self.cluster = lm, axes, metric, scorer, stop, cluster
        self.store = store if store is not None else EvaluationStore(study.folder.parent)
        self.settings = settings or study_settings(study)
        self.prompts, self.windows, self.pairs = study.prompts, study.windows, study_pairs(study)

    def __call__(self, model: Pruned, split: str, seed: int, blocks: int) -> Iterator[Evaluation]:
        """See `Measure`."""
        return evaluate(
            self.lm,
            model.heads,
            self.axes,
            metrics=[self.metric],
            split=split,
            compensate=model.compensate,
            pairs=self.pairs,
            prompts=self.prompts,
            windows=self.windows,
            scorer=self.scorer,
            store=self.store,
            stop=self.stop,
            cluster=self.cluster,
            settings=self._settings(seed, blocks),
        )

    def difference(self, model: Pruned, other: Pruned, split: str, seed: int, blocks: int) -> Evaluation:
        """See `Measure`."""
        mine, theirs = (self._work(one, split, seed, blocks) for one in (model, other))
        return measured_difference(mine, model.heads, theirs, other.heads, self.store)

    def _settings(self, seed: int, blocks: int) -> EvaluationSettings:
        return replace(self.settings, seed=self.settings.seed + seed, blocks=blocks)

    def _work(self, model: Pruned, split: str, seed: int, blocks: int) -> Work:
        return Work(
            self.lm,
            tuple(stream_of(axis, self.metric) for axis in self.axes),
            split,
            self.prompts,
            self.windows,
            self.scorer,
            self._settings(seed, blocks),
            self.stop,
            self.pairs,
            model.compensate,
        )
