"""A comparison of a made study, measured by a formula instead of a model: for tests of the page and its charts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fasp_core.comparison.configurations import ComparisonSettings, Pruned
from fasp_core.comparison.run_comparison import run_comparison
from fasp_core.comparison.table import ComparisonTable
from fasp_core.evaluation.result import Evaluation, Metrics
from fasp_core.models.compensation_choice import Compensate
from fasp_core.stats.estimate import Estimate
from fasp_core.study.study import Study
from fasp_core.toxicity.scorers import open_scorer
from helpers.made_metrics import made_metrics

Numbers = tuple[float, float]  # perplexity and bias
METHODS = ("fasp", "fasp_robust", "bias_only", "ppl_only", "random")


def make_comparison(
    study: Study,
    *,
    axes: tuple[str, ...] = ("gender_and_sex", "religion"),
    methods: tuple[str, ...] = METHODS,
    alphas: tuple[float, ...] = (0.05, 0.1, 0.2),
    seeds: int = 1,
    compensations: tuple[Compensate, ...] = ("none",),
    metric: str = "toxicity",
) -> ComparisonTable:
    """Each pruned head costs about 1 % of a perplexity of 20 and takes 2 % of a bias of 0.3; compensated, half that."""
    measure = _Made(axes, metric)
    settings = ComparisonSettings(
        axes[0],
        metric=metric,
        methods=methods,
        compensations=compensations,
        alphas=alphas,
        gammas=(0.3, 0.5),
        seeds=seeds,
        axes=axes,
    )
    return run_comparison(None, study, settings, scorer=open_scorer("embedded"), measure=measure)


class _Made:
    """A measure of models that are not there."""

    def __init__(self, axes: tuple[str, ...], metric: str) -> None:
        self.axes, self.metric, self.rng = axes, metric, np.random.default_rng(0)

    def __call__(self, model: Pruned, split: str, seed: int, blocks: int) -> Iterator[Evaluation]:
        much = len(model.heads) * (1.0 if model.compensate == "none" else 0.5)
        ppl, bias = much * 0.2 * self.rng.uniform(0.8, 1.2), -much * 0.006 * self.rng.uniform(0.5, 1.5)
        yield self._result(model, split, (20, 0.3), (20 + ppl, 0.3 + bias))

    def difference(self, model: Pruned, other: Pruned, split: str, seed: int, blocks: int) -> Evaluation:
        much = len(model.heads) * (1.0 if model.compensate == "none" else 0.5)
        return self._result(model, split, (22, 0.25), (20 + much * 0.2, 0.3 - much * 0.006))

    def _result(self, model: Pruned, split: str, before: Numbers, after: Numbers) -> Evaluation:
        change = (after[0] - before[0], after[1] - before[1])
        parts = (self._metrics(*numbers) for numbers in (before, after, change))
        return Evaluation(model.heads, split, *parts, 500, 50, 1.0, compensate=model.compensate)

    def _metrics(self, ppl: float, bias: float) -> Metrics:
        made = made_metrics(Estimate(ppl, 0.1, 50), {axis: Estimate(bias, 0.02, 500) for axis in self.axes})
        return made if self.metric == "toxicity" else Metrics(made.ppl, odds=made.axes)
