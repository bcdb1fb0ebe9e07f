"""The command `search`: the set with the lowest bias within a perplexity budget."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fasp_core.cli.options import (
    AlsoCompensated,
    Annealed,
    AsJson,
    Axis,
    Budget,
    ComparedBy,
    Device,
    Iterative,
    SearchedSets,
    SearchGamma,
    StudyName,
)
from fasp_core.cli.output import percent, print_json, print_table
from fasp_core.cli.sources import metric_for, one_axis, open_named, reopen, scores_to_choose_by
from fasp_core.cli.terminal import ProgressReport
from fasp_core.head import head_of, heads_text
from fasp_core.models.compensation_choice import SPOKEN, Compensate
from fasp_core.words.numbers import BY, format_estimate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fasp_core.comparison.search import Measure
    from fasp_core.comparison.surrogate import Explained
    from fasp_core.evaluation.history import MeasuredSet
    from fasp_core.evaluation.result import Evaluation
    from fasp_core.head import Head
    from fasp_core.models.language_model import LanguageModel
    from fasp_core.progress import ProgressCallback
    from fasp_core.selection.head_scores import HeadScores
    from fasp_core.study.study import Study


@dataclass(frozen=True)
class _Asked:
    """What is searched for: the bias, the budget (a share), how many sets at most, and how they are found.

    Every set is measured in all `ways`; the last of them is that of annealing and of fasp_iterative.
    """

    axis: str
    metric: str
    limit: float
    most: int
    ways: tuple[Compensate, ...]
    iterative: bool
    annealed: str | None
    gamma: float


def search(
    study: StudyName,
    axis: Axis = None,
    ppl_limit: Budget = 0.05,
    sets: SearchedSets = 8,
    metric: ComparedBy = None,
    compensate: AlsoCompensated = False,
    iterative: Iterative = False,
    annealed: Annealed = None,
    gamma: SearchGamma = 0.3,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Find the set of heads with the lowest bias within a perplexity budget.

    Searches gamma, alpha and methods by predicted effects, and measures the promising sets on valid prompts by the
    same measure of bias. With --compensate they are chosen by scores under compensation, if there are any (see: score
    --compensated). With --iterative it first prunes in stages, each scored in the model without the heads so far and
    followed by its perplexity, until the budget is used up. With --annealed as many sets are drawn at random and
    proposed by a surrogate, and its cross-validated R² says whether it knows anything. What was measured before costs
    nothing, and the app shows it too. Confirm the result on test prompts (see: evaluate).
    """
    from fasp_core.comparison.search import best_within, ppl_rise
    from fasp_core.evaluation.comparable import comparable_sets
    from fasp_core.evaluation.history import measured_sets
    from fasp_core.evaluation.streams import stream_of
    from fasp_core.study.views import measured_axes

    opened = open_named(study)
    opened.require_model()
    by = metric_for(opened, axis, metric)
    axis = one_axis(measured_axes(opened, by), axis)
    stream = stream_of(axis, by)
    ways: tuple[Compensate, ...] = ("none", "least_squares") if compensate else ("none",)
    scores = scores_to_choose_by(opened, axis, by, ways[-1])
    asked = _Asked(axis, by, ppl_limit, sets, ways, iterative, annealed, gamma)
    explained = _measure(opened, scores, asked, device)
    found = comparable_sets(measured_sets(opened, split="valid", stream=stream), axis, by).sets
    best = best_within(found, axis, ppl_limit, by)
    rows = sorted(found, key=lambda one: one.evaluation.after.bias_by(by)[axis].value)
    if as_json:
        print_json(
            {
                "study": study,
                "axis": axis,
                "metric": by,
                "ppl_limit": ppl_limit,
                "scores_under": scores.meta.compensate or "none",
                "best": None if best is None else best.target.heads,
                "compensate": None if best is None else best.target.compensate,
                "surrogate": None
                if explained is None
                else {
                    "sets": explained.bias.n,
                    "r2_bias": explained.bias.value,
                    "r2_bias_se": explained.bias.se,
                    "r2_log_ppl": explained.log_ppl.value,
                    "r2_log_ppl_se": explained.log_ppl.se,
                },
                "sets": [
                    {
                        "heads": one.target.heads,
                        "compensate": one.target.compensate,
                        "ppl_rise": ppl_rise(one.evaluation),
                        "bias": one.evaluation.after.bias_by(by)[axis].value,
                        "bias_change": one.evaluation.change.bias_by(by)[axis].value,
                    }
                    for one in rows
                ],
            }
        )
        return
    header = ("heads", "in their place", "perplexity", f"bias {axis}, {BY[by]}", "change")
    print_table(header, [_row(one, axis, by) for one in rows])
    if best is None:
        print(f"No measured set has a lower bias at no more than {100 * ppl_limit:g} % more perplexity.")
    else:
        how = "" if best.target.compensate == "none" else f" --compensate {best.target.compensate}"
        print(f"Best within {100 * ppl_limit:g} %: --heads {heads_text(best.target.heads, ',')}{how}")
        print("It is the best of several on valid prompts: confirm it with evaluate --split test.")


def _row(one: MeasuredSet, axis: str, metric: str) -> tuple[str, ...]:
    from fasp_core.comparison.search import ppl_rise

    after, change = (part.bias_by(metric)[axis] for part in (one.evaluation.after, one.evaluation.change))
    return (
        str(len(one.target.heads)),
        SPOKEN[one.target.compensate],
        percent(ppl_rise(one.evaluation)),
        format_estimate(after.value, after.se),
        format_estimate(change.value, change.se, signed=True),
    )


def _measure(study: Study, scores: HeadScores, asked: _Asked, device: str) -> Explained | None:
    """Measure sets that the `scores` promise something of, or that annealing proposes.

    Before that the set of fasp_iterative, where that is asked for. Returns what the surrogate of annealing explains.
    """
    from fasp_core.comparison.search import candidates, known_rises, search
    from fasp_core.evaluation.comparable import comparable_sets
    from fasp_core.evaluation.evaluate import evaluate_study
    from fasp_core.evaluation.history import measured_sets
    from fasp_core.evaluation.store import EvaluationStore
    from fasp_core.evaluation.streams import stream_of
    from fasp_core.progress import StageClock

    axis, metric, ways = asked.axis, asked.metric, asked.ways
    found = candidates(scores, axis) if asked.annealed is None else []
    lm, store = reopen(study, device), EvaluationStore(study.folder.parent)

    def measure(heads: tuple[Head, ...], how: Compensate) -> Iterator[Evaluation]:
        return evaluate_study(study, lm, heads, [axis], metrics=[metric], compensate=how, store=store)

    with ProgressReport() as progress:
        if asked.iterative:
            staged = _prune_in_stages(study, lm, asked, progress)
            clock = StageClock("measuring the set of fasp_iterative", 100, "%", progress)
            for result in measure(staged, ways[-1]) if staged else ():
                clock.step(int(100 * result.fraction_done) - clock.done)
        before = measured_sets(study, split="valid", stream=stream_of(axis, metric))
        known = comparable_sets(before, axis, metric).sets
        if asked.annealed is not None:
            return _anneal(study, scores, asked, measure, known, progress)
        search(
            found,
            measure,
            known=known_rises(known, ways),
            limit=asked.limit,
            most=asked.most,
            ways=ways,
            progress=progress,
        )
    return None


def _anneal(
    study: Study,
    scores: HeadScores,
    asked: _Asked,
    measure: Measure,
    known: Sequence[MeasuredSet],
    progress: ProgressCallback,
) -> Explained:
    """Measure drawn sets, and those that annealing proposes; stderr says how many before, and what came of it after."""
    from fasp_core.comparison.annealed_search import Reading, annealed_search, n_drawn
    from fasp_core.comparison.single_heads import effects_by_scores, free_heads
    from fasp_core.evaluation.asked import asked_prompts
    from fasp_core.words.verdicts import describe_surrogate

    axis, most = asked.axis, asked.most
    reading = Reading(axis, asked.metric, asked_prompts(study.prompts, axis, "valid")[1])
    flat = free_heads(scores, asked.gamma)
    groups = [str(group) for group in reading.shares.index]
    before = [one.evaluation for one in known if one.target.compensate == asked.ways[-1]]
    by_scores = asked.annealed == "scores"
    drawn = n_drawn(most, by_scores=by_scores)
    print(
        f"note: up to {most} sets are measured, as by the plain search: {drawn} drawn at random, {most - drawn} "
        f"proposed by the surrogate; {len(before)} measured before cost nothing",
        file=sys.stderr,
    )
    found = annealed_search(
        [head_of(int(one), scores.heads_per_layer) for one in flat],
        scores.n_heads,
        measure,
        reading,
        known=before,
        limit=asked.limit,
        most=most,
        start=effects_by_scores(scores, axis, flat, groups) if by_scores else None,
        ways=asked.ways,
        progress=progress,
    )
    print(f"note: {describe_surrogate(found.explained.bias, found.explained.log_ppl)}", file=sys.stderr)
    return found.explained


def _prune_in_stages(
    study: Study,
    lm: LanguageModel,
    asked: _Asked,
    progress: ProgressCallback,
) -> tuple[Head, ...]:
    """The heads that fasp_iterative prunes within the budget, sorted; none where no bias stands out to be lowered."""
    from fasp_core.scoring.iterative import iterative_order
    from fasp_core.toxicity.scorers import reopen_scorer

    scorer = reopen_scorer(*study.scorer_record(), study=study.name) if asked.metric == "toxicity" else None
    flat = iterative_order(
        lm,
        study,
        scorer,
        axis=asked.axis,
        gamma=asked.gamma,
        budget_ppl=asked.limit,
        metric=asked.metric,
        compensate=asked.ways[-1],
        progress=progress,
    )
    if not flat:
        why = "the first one is beyond the budget, or no bias stands out that they would lower"
        print(f"note: fasp_iterative prunes no heads: {why}", file=sys.stderr)
    return tuple(sorted(lm.layout.head(flat_id) for flat_id in flat))
