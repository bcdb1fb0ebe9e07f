"""A comparison of a made study, measured by a formula instead of a model: for tests of the page and its charts."""

from __future__ import annotations

import numpy as np

from fasp_core.comparison.configurations import ComparisonSettings
from fasp_core.comparison.run_comparison import run_comparison
from fasp_core.comparison.table import ComparisonTable
from fasp_core.evaluation.result import Evaluation, Metrics
from fasp_core.models.compensation_choice import Compensate
from fasp_core.stats.estimate import Estimate
from fasp_core.study.study import Study
from fasp_core.toxicity.scorers import open_scorer
from helpers.made_metrics import made_metrics

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
    rng = np.random.default_rng(0)

    def measure(heads, compensate, split, seed, blocks):
        much = len(heads) * (1.0 if compensate == "none" else 0.5)
        ppl, bias = much * 0.2 * rng.uniform(0.8, 1.2), -much * 0.006 * rng.uniform(0.5, 1.5)

        def metrics(p: float, b: float) -> Metrics:
            made = made_metrics(Estimate(p, 0.1, 50), {axis: Estimate(b, 0.02, 500) for axis in axes})
            return made if metric == "toxicity" else Metrics(made.ppl, odds=made.axes)

        parts = (metrics(20, 0.3), metrics(20 + ppl, 0.3 + bias), metrics(ppl, bias))
        yield Evaluation(tuple(heads), split, *parts, 500, 50, 1.0, compensate=compensate)

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
