"""The order of `fasp_iterative`: prune a few heads, score the others in what is left, repeat.

FASP's weakness, as its authors say, is that heads are scored one at a time: two heads that do the same work look
harmless alone, and what a head does may change once others are gone. Here every stage scores the remaining heads *in
the pruned model* (see `stage_scores`) and prunes the next few, chosen together by the bias that they are expected to
leave (see `selection.joint`). After it, perplexity is measured. The heads that γ protects, by z_ppl of the intact
model, stay protected throughout. The order is nested, so one run serves every α, and every budget of perplexity: a run
with a budget ends at the first stage that exceeds it, or that is not expected to lower the bias.

A stage is one shard of the study (see `study.orders`): resuming goes on with the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import numpy as np

from fasp_core.errors import InputError
from fasp_core.models.compensation_choice import SPOKEN, Compensate
from fasp_core.models.language_model import LanguageModel
from fasp_core.progress import ProgressCallback, StageClock, Stop
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.iterative_settings import IterativeSettings
from fasp_core.scoring.stage_scores import (
    LikelihoodScorer,
    PrunedModels,
    StagePerplexity,
    StageScorer,
    StageScores,
    ToxicityScorer,
)
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.joint import choose_jointly
from fasp_core.selection.joint_target import bias_target
from fasp_core.selection.rules import gamma_key
from fasp_core.selection.select_heads import head_count, protected_heads
from fasp_core.stats.estimate import Estimate
from fasp_core.study.orders import Order, OrderKey, OrderStage, affordable, heads_of, keep_stage, stored_order
from fasp_core.study.scores import choosing_scores
from fasp_core.study.study import Study
from fasp_core.toxicity.scorers import Scorer, open_scorer
from fasp_core.words.numbers import format_estimate

Rescore = Callable[[Sequence[int]], StageScores]  # of the flat ids that are pruned, in order
PplRise = Callable[[Sequence[int]], Estimate]  # of the same, as a share


def prune_in_stages(
    rescore: Rescore,
    *,
    n_heads: int,
    protected: Sequence[int],
    count: int,
    size: int,
    pruned: Sequence[int] = (),
    ppl_rise: PplRise | None = None,
) -> Iterator[OrderStage]:
    """Stages of `size` heads until at least `count` are pruned; `pruned` are those of earlier stages, in order."""
    order = list(pruned)
    while len(order) < count:
        left = np.setdiff1d(np.arange(n_heads), [*protected, *order])
        stage = chosen_stage(rescore(order), left, size)
        order += stage.heads
        if ppl_rise is not None:
            rise = ppl_rise(order)
            stage = OrderStage(stage.heads, stage.z, rise.value, rise.se, stage.expected)
        yield stage


def chosen_stage(scores: StageScores, left: np.ndarray, size: int) -> OrderStage:
    """The `size` heads of `left` (flat ids) that together are expected to leave the least bias, highest z_bias first.

    Where no gap stands out from its error, those with the highest z_bias. Ties go to the lowest flat id.
    """
    known, free = scores.groups, np.zeros(scores.z.size, bool)
    free[left] = True
    target = bias_target(known.gaps, known.gaps_se, known.effects, known.effects_se, free)
    chosen = left[np.argsort(-scores.z[left], kind="stable")][:size]
    if target.value.any():
        together = np.array(choose_jointly(target, free, chosen.size, exactly=True).heads)
        chosen = together[np.argsort(-scores.z[together], kind="stable")]
    expected = target.left(np.empty(0, int)), target.left(chosen)
    return OrderStage(tuple(chosen.tolist()), tuple(scores.z[chosen].tolist()), expected=expected)


def iterative_order(
    lm: LanguageModel,
    study: Study,
    scorer: Scorer | None,
    *,
    axis: str,
    gamma: float,
    alpha: float | None = None,
    budget_ppl: float | None = None,
    metric: str = "toxicity",
    compensate: Compensate = "none",
    settings: IterativeSettings | None = None,
    progress: ProgressCallback | None = None,
    stop: Stop | None = None,
) -> list[int]:
    """Find and keep an order of heads as flat ids, going on from the stages on disk.

    Of the first ⌊αN⌋ heads or more; or, with `budget_ppl`, of as many as raise perplexity by at most that share: then
    these are given, a part of the last stage too, and the stage that exceeded it is kept whole. Bias is by `metric`,
    which for toxicity takes a `scorer`; `compensate` is what takes the place of the pruned heads at every stage. Raises
    InputError where the stages on disk were made otherwise, or the study lacks the scores to begin with; Cancelled
    between batches once `stop()`.
    """
    settings = settings or IterativeSettings()
    scores = _first_scores(study, scorer, axis, metric, compensate)
    if axis not in scores.group_effects:
        raise InputError(f"fasp_iterative weighs the groups of an axis, and '{axis}' is none; choose another method")
    most = scores.n_heads - head_count(gamma, scores.n_heads)
    count = most if alpha is None else head_count(alpha, scores.n_heads)
    size = settings.stage_size(scores.n_heads)
    if count > most:
        raise InputError(f"alpha {alpha} is more than 1 − gamma = {1 - gamma:g}; lower one of them")
    key = OrderKey(axis, gamma_key(gamma), metric, compensate)
    rated_by = scorer.name if scorer is not None and metric == "toxicity" else None
    with study.writing(), study.remembering():
        done = _stored(study, key, settings, rated_by)
        protected = done.protected or tuple(protected_heads(scores, gamma).tolist())
        stages, clock = list(done.stages), _Clock(key, budget_ppl, -(-count // size), progress, done.stages)
        models = PrunedModels(RunContext.of(study, lm, scorer or open_scorer("embedded"), stop, progress), compensate)
        ppl_rise = StagePerplexity(models, study)
        if not _ended(stages, budget_ppl):
            for stage in prune_in_stages(
                _stage_scorer(models, study, axis, metric, scores, settings),
                n_heads=scores.n_heads,
                protected=protected,
                count=count,
                size=size,
                pruned=done.heads,
                ppl_rise=ppl_rise,
            ):
                keep_stage(study, key, len(stages), Order((stage,), protected, asdict(settings), rated_by))
                stages.append(stage)
                clock.step(stages)
                if _ended(stages, budget_ppl):
                    break
        found = heads_of(stages) if budget_ppl is None else heads_within_budget(stages, budget_ppl, ppl_rise)
    clock.end()
    return list(found)


def heads_within_budget(stages: Sequence[OrderStage], limit: float, ppl_rise: PplRise) -> tuple[int, ...]:
    """The heads of the stages within the budget `limit`, a share, and the first of the stage that exceeds it.

    As many of that stage as keep the budget, found by halving: perplexity is taken to rise with every head. None of a
    stage that is expected to lower no bias.
    """
    whole = affordable(stages, limit)
    heads, rest = heads_of(whole), stages[len(whole) :]
    if not rest or rest[0].expected is None or rest[0].expected[1] >= rest[0].expected[0]:
        return heads
    more, fits, exceeds = rest[0].heads, 0, len(rest[0].heads)
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        if ppl_rise([*heads, *more[:middle]]).value <= limit:
            fits = middle
        else:
            exceeds = middle
    return heads + more[:fits]


def _ended(stages: Sequence[OrderStage], budget_ppl: float | None) -> bool:
    """Whether a stage exceeds the budget, or is not expected to lower the bias."""
    return budget_ppl is not None and len(affordable(stages, budget_ppl)) < len(stages)


def _first_scores(study: Study, scorer: Scorer | None, axis: str, metric: str, compensate: Compensate) -> HeadScores:
    """The scores of the first stage; by likelihood with least squares those under compensation, which must be there."""
    if metric == "likelihood" and compensate == "least_squares":
        return study.scores(metric=metric, compensate=compensate)
    name = None if scorer is None else scorer.name
    return choosing_scores(study, axis, compensate=compensate, scorer=name, metric=metric)


def _stage_scorer(
    models: PrunedModels, study: Study, axis: str, metric: str, scores: HeadScores, settings: IterativeSettings
) -> StageScorer:
    known = StageScores(scores.z_bias(axis), scores.group_effects[axis])
    if metric == "likelihood":
        return LikelihoodScorer(models, study, axis, known, settings.readings)
    return ToxicityScorer(models, study, axis, known, settings.samples)


class _Clock:
    """Progress in stages or, with a budget, in per cent of it; says what perplexity has come to."""

    def __init__(
        self,
        key: OrderKey,
        budget: float | None,
        n_stages: int,
        progress: ProgressCallback | None,
        done: Sequence[OrderStage],
    ) -> None:
        self.budget = budget
        total, unit = (100, "%") if budget is not None else (max(n_stages, len(done)), "stages")
        in_place = "" if key.compensate == "none" else f", {SPOKEN[key.compensate]} in their place"
        title = f"fasp_iterative, gamma {key.gamma}{in_place}"
        self.clock = StageClock(title, total, unit, progress, already=self._place(done))

    def _place(self, stages: Sequence[OrderStage]) -> int:
        if self.budget is None:
            return len(stages)
        rise = max((stage.ppl_rise or 0.0 for stage in stages), default=0.0)
        return min(99, max(0, int(100 * rise / self.budget))) if self.budget > 0 else 0

    def step(self, stages: Sequence[OrderStage]) -> None:
        """Tell where the last stage has come to."""
        rise, error = (100 * (value or 0.0) for value in (stages[-1].ppl_rise, stages[-1].ppl_rise_se))
        message = f"{len(heads_of(stages))} heads pruned, perplexity {format_estimate(rise, error, signed=True)} %"
        self.clock.step(self._place(stages) - self.clock.done, message)

    def end(self) -> None:
        """Tell that it is done."""
        self.clock.step(self.clock.total - self.clock.done)


def _stored(study: Study, key: OrderKey, settings: IterativeSettings, scorer: str | None) -> Order:
    """The order on disk; InputError where it was found with other settings or by another scorer."""
    found = stored_order(study, key)
    rated_by = found.scorer or next(iter(study.manifest.scorers), None)
    if found.stages and scorer is not None and rated_by != scorer:
        raise InputError(
            f"study '{study.name}' has an order of fasp_iterative for {key.axis} at gamma {key.gamma} by the ratings "
            f"of {rated_by}; delete its files {key.kind}.{key.axis}.g{key.gamma}.*.parquet to find one by {scorer}"
        )
    if found.stages and found.settings != asdict(settings):
        raise InputError(
            f"study '{study.name}' has an order of fasp_iterative for {key.axis} at gamma {key.gamma} made with "
            f"{found.settings}; ask for the same, or delete its files {key.kind}.{key.axis}.g{key.gamma}.*.parquet"
        )
    return found
