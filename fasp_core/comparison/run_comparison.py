"""run_comparison(): methods of pruning side by side on one model, measured. Resumable, progressive, cancellable.

Every configuration (method, γ, α, compensation, seed) is a pruned model, and every such model is measured by `evaluate`
with the app's database: what several methods choose, or was measured before, costs nothing, and a stopped run resumes.
Heads are chosen and models measured by one metric of bias. Where least squares takes the heads' place, the study's
scores under compensation choose them, if there are any (see `choosing_scores`). A *seed* fixes the heads of method
random and the evaluation's own noise.

For each method, compensation and α, γ is chosen on `valid`: the lowest bias among those γ whose perplexity rises by at
most `ppl_limit`; where there is none, the lowest perplexity. Only configurations with the chosen γ are then measured on
`test`, and only those numbers are claims. Methods with no γ, or only one, are measured on `test` alone. There every
model is also compared with the baselines themselves, from pairs (see `configurations.baselines`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from typing import Any, cast

import pandas as pd

from fasp_core.comparison.configurations import (
    ComparisonSettings,
    Configuration,
    Pruned,
    baselines,
    choose_gammas,
    complete_settings,
    configurations,
    gammas_of,
    staged_alphas,
)
from fasp_core.comparison.measure import Measure
from fasp_core.comparison.table import AGAINST, COLUMNS, ComparisonTable, difference_rows, measurement_rows
from fasp_core.evaluation.keys import ScorerName
from fasp_core.evaluation.result import Evaluation
from fasp_core.models.compensation_choice import Compensate
from fasp_core.models.language_model import LanguageModel
from fasp_core.progress import ProgressCallback, StageClock, Stop, check_stop
from fasp_core.scoring.activation import keep_activation_differences
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.iterative import iterative_order
from fasp_core.scoring.magnitude import keep_magnitudes
from fasp_core.scoring.run import Run
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.select_heads import axis_weights
from fasp_core.study.scores import choosing_scores
from fasp_core.study.study import Study
from fasp_core.toxicity.scorers import Scorer


def run_comparison(
    lm: LanguageModel,
    study: Study,
    settings: ComparisonSettings,
    *,
    scorer: Scorer | ScorerName,
    measure: Measure,
    progress: ProgressCallback | None = None,
    stop: Stop | None = None,
) -> ComparisonTable:
    """Measure all configurations of the settings, keep the table with the study, and return it.

    The table is saved after every measured set, so that a page can draw what is there. `scorer` is the study's; by
    likelihood its name will do (see `evaluation.evaluate.scorer_for`).
    Raises InputError for scores that lack what a method needs, Cancelled once `stop()` is true.
    """
    settings = complete_settings(study, settings)
    scores = prepare(lm, study, settings, scorer, progress, stop)
    multi = "fasp_multi" in (settings.methods or ())
    settings = replace(settings, weights=_weights(scores, settings) if multi else None)
    table = ComparisonTable.begin(study, scores, asdict(settings))
    run = _Run(measure, table, study, scores, progress, stop)
    points = configurations(scores, settings)
    undecided = [p for p in points if len(gammas_of(p.method, settings)) > 1]
    run.measure_all(undecided, "valid", settings.valid_blocks)
    chosen = choose_gammas(table.frame, settings)
    decided = [p for p in points if p.gamma in (None, chosen.get((p.method, p.compensate, p.alpha), p.gamma))]
    run.measure_all(decided, "test", settings.test_blocks)
    run.compare_all(decided, "test", settings.test_blocks)
    table.save(study, complete=True)
    return table


def prepare(
    lm: LanguageModel,
    study: Study,
    settings: ComparisonSettings,
    scorer: Scorer | ScorerName,
    progress: ProgressCallback | None,
    stop: Stop | None,
) -> dict[Compensate, HeadScores]:
    """The scores that choose heads, by what takes their place (see `choosing_scores`), with all that methods rank by.

    What is missing is measured and kept in the study.
    """
    methods, by = settings.methods or (), settings.metric or ""
    scores = study.scores(scorer.name or None, metric=by)
    scores.known_axis(settings.axis)
    if "magnitude_l2" in methods and "magnitude_l2" not in scores.frame:
        with study.writing():
            keep_magnitudes(study, lm)
    if "activation_difference" in methods and f"activation_difference.{settings.axis}" not in scores.frame:
        with study.writing():
            context = RunContext.of(study, lm, cast(Scorer, scorer), stop)  # nothing is rated
            keep_activation_differences(Run(study, context, what="the comparison"), [settings.axis])
    if "fasp_iterative" in methods:
        orders = staged_alphas(settings, scores.n_heads).items()
        for compensate, (gamma, alpha) in product(settings.compensations, orders):
            iterative_order(
                lm,
                study,
                cast(Scorer, scorer) if by == "toxicity" else None,  # for toxicity it is opened
                axis=settings.axis,
                gamma=gamma,
                alpha=alpha,
                metric=by,
                compensate=compensate,
                settings=settings.iterative,
                progress=progress,
                stop=stop,
            )
    return {
        compensate: choosing_scores(study, settings.axis, compensate=compensate, scorer=scorer.name or None, metric=by)
        for compensate in settings.compensations
    }


def _weights(scores: Mapping[Compensate, HeadScores], settings: ComparisonSettings) -> dict[str, float]:
    """The weights of fasp_multi, the same with every compensation; without any, axes that all scores hold weigh 1."""
    first = next(iter(scores.values()))
    held = [axis for axis in first.axes if all(axis in known.axes for known in scores.values())]
    return axis_weights(first, dict.fromkeys(held, 1.0) if settings.weights is None else settings.weights)


class _Run:
    """Measures every pruned model once, and adds the rows of the configurations that share it to the table."""

    def __init__(
        self,
        measure: Measure,
        table: ComparisonTable,
        study: Study,
        scores: Mapping[Compensate, HeadScores],
        progress: ProgressCallback | None,
        stop: Stop | None,
    ) -> None:
        self.measure, self.table, self.study, self.scores = measure, table, study, scores
        self.progress, self.stop = progress, stop

    def measure_all(self, points: Sequence[Configuration], split: str, blocks: int) -> None:
        """Measure the points of one split, model by model; the rows of one are added and saved once it is complete."""
        sets: dict[tuple[Pruned, int], list[Configuration]] = {}
        for point in points:
            sets.setdefault((point.model, point.seed), []).append(point)
        clock = StageClock(f"measuring on {split}", len(sets) * blocks, "blocks", self.progress)
        for (model, seed), same in sets.items():
            evaluation = self._measured(model, split, seed, blocks, clock)
            for point in same:
                scores = self.scores[point.compensate]
                self.table.add(measurement_rows(asdict(point), evaluation, scores, self.table.metric))
            self.table.save(self.study)

    def compare_all(self, points: Sequence[Configuration], split: str, blocks: int) -> None:
        """The difference of every model from the baselines' models; all of them have been measured."""
        asked = [(point, other) for point in points for other in baselines(point, points)]
        clock = StageClock("comparing models with each other", len(asked), "pairs", self.progress)
        known: dict[tuple[Pruned, Pruned, int], Evaluation] = {}
        rows: list[dict[str, Any]] = []
        for point, other in asked:
            check_stop(self.stop, "the comparison", resumes=True)
            pair = (point.model, other.model, point.seed)
            if pair not in known:
                known[pair] = self.measure.difference(*pair[:2], split, point.seed, blocks)
            rows += difference_rows(asdict(point), asdict(other), known[pair], self.table.metric)
            clock.step(1)
        self.table.differences = pd.DataFrame(rows, columns=[*COLUMNS, *AGAINST])

    def _measured(self, model: Pruned, split: str, seed: int, blocks: int, clock: StageClock) -> Evaluation:
        """The complete measurement of a model. What was measured before does not count towards the speed."""
        counted = 0
        last: Evaluation | None = None
        for last in self.measure(model, split, seed, blocks):
            new = round(last.fraction_done * blocks) - counted
            if counted == 0 and last.done:
                clock.already += new
            counted += new
            clock.step(new)
            if not last.done:
                check_stop(self.stop, "the comparison", resumes=True)
        if last is None:
            raise ValueError("a measurement gave no result")
        return last
