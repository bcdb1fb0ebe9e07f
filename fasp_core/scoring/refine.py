"""Refinement: after its first pass a run measures, step by step, what makes the selection surest per second.

Each step extends one stream: more samples of an axis (gradient of all heads), or exact knock-out of the heads whose
side of the γ or α cut is uncertain (see `planner`). A step is a shard like any other, so a refined study can be resumed
and extended like any other. By likelihood there is one kind of step: more prompts are read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from fasp_core.errors import RunError
from fasp_core.scoring.advantages import Advantage, Prefixes
from fasp_core.scoring.budgets import FIRST_PASS, Budget
from fasp_core.scoring.log_ratios import Gradient, Knockout
from fasp_core.scoring.measure import has_advantages, measure_odds, measure_samples
from fasp_core.scoring.planner import MOST_HEADS, Ranking, Step, best_step, cut_value
from fasp_core.scoring.run import Run
from fasp_core.scoring.stage import shards_of
from fasp_core.scoring.texts import Rating, Regenerating, Sampling
from fasp_core.selection.select_heads import head_count
from fasp_core.stats.axis_sums import effective_share
from fasp_core.stats.log_odds import likelihood_effects
from fasp_core.stats.perplexity import perplexity_effects
from fasp_core.study.effects import axis_effects, log_ratio_texts
from fasp_core.study.shard_names import ODDS, SAMPLES, TEXT, TOXICITY
from fasp_core.study.study import Study
from fasp_core.study.verdicts import MATTERS, true_bias_interval
from fasp_core.study.views import axis_samples, knockout_counts, odds_samples, window_samples

LOWEST_EFFECTIVE_SHARE = 0.2  # below it a few samples decide the estimate, and its error cannot be estimated
# Seconds per unit until a run has seen its own: a sample with its gradient, and one head on one sample or window.
SAMPLE_SECONDS, KNOCKOUT_SECONDS = 0.15, 0.03


class NothingToRank(RunError):
    """A reliability cannot be reached, because there is no bias that matters."""


def refine(run: Run, axes: Sequence[str], budget: Budget, *, spent_minutes: float = 0.0) -> None:
    """Take the best steps until the time is up, the reliability is reached, or no head's side is uncertain.

    `spent_minutes` of `refine_minutes` are used up already. The last step may exceed the time by one shard. With a
    reliability to reach and no time limit (`refine_minutes` 0), only reaching it ends the refinement. Raises
    NothingToRank where no axis that lacks it has a bias that matters.
    """
    if not budget.refine_minutes and budget.reliability is None:
        return
    minutes = budget.refine_minutes - spent_minutes if budget.refine_minutes else np.inf
    deadline = time.monotonic() + 60 * minutes
    while time.monotonic() < deadline:
        steps, reliabilities = _steps(run, axes, budget)
        aim = budget.reliability
        reached = aim is not None and all(found >= aim for found in reliabilities)  # NaN: not known, so not reached
        if aim is not None and not reached:
            lacking = [axis for axis, found in zip(axes, reliabilities, strict=True) if not found >= aim]
            _require_something_to_rank(run, lacking, aim, "toxicity")
        best = max(steps, key=lambda step: step.gain_per_second)
        if reached or (best.gain_per_second <= 0 and budget.reliability is None):
            return
        if best.gain_per_second <= 0:  # every head's side is known: sample the axis of the least reliable order
            best = Step(axes[int(np.argmin(reliabilities))], (), 0.0)
        _take(run, best)


def read_more(run: Run, axes: Sequence[str], *, minutes: float = np.inf, aim: float | None = None) -> list[str]:
    """Read more prompts of the axes in turn for their log-odds, until the time is up or all was read.

    With a reliability to `aim` at, an axis whose order has it is read no further. The last turn may exceed the time by
    a shard of each axis. Returns the axes that could be read no further and whose order has not the reliability.
    Raises NothingToRank where no axis that lacks it has a bias that matters.
    """
    size, deadline = run.context.settings.odds_per_shard, time.monotonic() + 60 * minutes
    left, ended = list(axes), []
    protected = protected_heads(perplexity_cut(run.study, gamma=FIRST_PASS.gamma))
    while left and time.monotonic() < deadline:
        if aim is not None:
            known = {axis: _by_likelihood(run.study, axis, protected) for axis in left}
            left = [axis for axis, reliability in known.items() if not reliability >= aim]
            if left:
                _require_something_to_rank(run, left, aim, "likelihood")
        for axis in list(left):
            done = len(run.study.shard_names(ODDS, axis))
            measure_odds(run, axis, (done + run.at_once) * size, exact=0)
            if len(run.study.shard_names(ODDS, axis)) == done:  # every prompt was read with every stem
                left.remove(axis)
                ended.append(axis)
    return ended


def _by_likelihood(study: Study, axis: str, protected: np.ndarray) -> float:
    """The reliability of the unprotected heads' order by log-odds."""
    return likelihood_effects(odds_samples(study, axis), protected=protected).reliability


def _require_something_to_rank(run: Run, lacking: Sequence[str], aim: float, metric: str) -> None:
    """Raise NothingToRank where none of the axes that are below the reliability aimed at has a bias that matters."""
    scorer, other = run.context.scorer.name, "toxicity" if metric == "likelihood" else "likelihood"
    known = [true_bias_interval(run.study, axis, metric=metric, scorer=scorer) for axis in lacking]
    if all(interval is not None and interval[1] < MATTERS[metric] for interval in known):
        raise NothingToRank(
            f"reliability {aim:g} is not reachable on {', '.join(lacking)}: there is no bias that matters to rank. "
            f"What was measured is kept, and another metric may see one (--metric {other})"
        )


def regenerate(run: Run, axis: str, budget: Budget) -> None:
    """The published recipe: sample again without a head.

    Without every head if the budget says so, else without the unprotected ones of too low an effective sample size.
    """
    if not budget.regenerate_samples:
        return
    n, heads = budget.regenerate_samples, run.all_heads
    if not budget.regenerate_all:
        protected = protected_heads(perplexity_cut(run.study, gamma=budget.gamma))
        share = effective_share(axis_samples(run.study, axis, scorer=run.context.scorer.name))
        n = min(n, budget.samples)
        heads = np.flatnonzero((share < LOWEST_EFFECTIVE_SHARE) & ~protected).tolist()
    size, per_layer = run.context.settings.samples_per_shard, run.context.lm.layout.heads_per_layer
    texts = Regenerating.of(axis, n, size, heads, per_layer)
    run.fill(texts)
    run.fill(Rating.of(texts, run.context.scorer.name))


def _steps(run: Run, axes: Sequence[str], budget: Budget) -> tuple[list[Step], list[float]]:
    """The best next step of every stream, and the reliability of every axis's order."""
    text = perplexity_cut(run.study, gamma=budget.gamma)
    windows_left = _next_shard(run, TEXT, text.uncertain()[:MOST_HEADS]) < len(run.context.windows)
    steps = [
        best_step(
            TEXT,
            text,
            gradient_units=0,
            gradient_seconds=1.0,
            knockout_units=int(windows_left),
            knockout_seconds_per_head=_knockout_seconds(run, TEXT),
        )
    ]
    reliabilities = []
    for axis in axes:
        ranking, reliability = bias_cut(
            run.study, axis, scorer=run.context.scorer.name, protected=protected_heads(text), alpha=budget.alpha
        )
        steps.append(_axis_step(run, axis, ranking))
        reliabilities.append(reliability)
    return steps, reliabilities


def _axis_step(run: Run, axis: str, ranking: Ranking) -> Step:
    samples, exact = run.context.settings.samples_per_shard, _exact_size(run, axis)
    left = _next_shard(run, axis, ranking.uncertain()[:MOST_HEADS]) < log_ratio_texts(run.study, axis) // exact
    return best_step(
        axis,
        ranking,
        gradient_units=samples,
        gradient_seconds=samples * _sample_seconds(run, axis),
        knockout_units=exact * left,
        knockout_seconds_per_head=exact * _knockout_seconds(run, axis),
    )


def _take(run: Run, step: Step) -> None:
    """Do one step: another shard of samples for each worker, or the next shard that lacks some of the step's heads."""
    if not step.heads:
        done = len(run.study.shard_names(SAMPLES, step.stream))
        measure_samples(run, step.stream, (done + run.at_once) * run.context.settings.samples_per_shard)
        return
    number, size = _next_shard(run, step.stream, np.array(step.heads)), _exact_size(run, step.stream)
    counts = knockout_counts(run.study, step.stream, size)
    heads = [h for h in step.heads if number >= len(counts) or not counts[number, h]]
    run.fill(Knockout(step.stream, shards_of((number + 1) * size, size, heads=heads, first=number)))


def _next_shard(run: Run, stream: str, heads: np.ndarray) -> int:
    """The first knock-out shard that lacks any of the heads."""
    counts = knockout_counts(run.study, stream, _exact_size(run, stream))
    if not heads.size or not len(counts):
        return 0
    lacking = ~counts[:, heads].all(axis=1)
    return int(np.argmax(lacking)) if lacking.any() else len(counts)


def _exact_size(run: Run, stream: str) -> int:
    """Units of a knock-out shard."""
    return 1 if stream == TEXT else run.context.settings.knockout_samples_per_shard


def _sample_seconds(run: Run, axis: str) -> float:
    of_heads = (Prefixes.kind, Advantage.kind) if has_advantages(run.context.settings) else (Gradient.kind,)
    seconds = run.cost(*(f"{kind} {axis}" for kind in (Sampling.kind, TOXICITY, *of_heads)))
    return SAMPLE_SECONDS if seconds is None else seconds


def _knockout_seconds(run: Run, stream: str) -> float:
    seconds = run.cost(f"knockout {stream}")
    return KNOCKOUT_SECONDS if seconds is None else seconds


def perplexity_cut(study: Study, *, gamma: float) -> Ranking:
    """All heads by z_ppl, cut below the top ⌊γN⌋."""
    samples = window_samples(study)
    effects = perplexity_effects(samples)
    everyone = np.ones(effects.z.size, bool)
    return Ranking(
        effects.z,
        effects.gradient_se,
        effects.correction_se,
        samples.log_prob.size,
        _measured(samples.knockout, effects.z.size),
        everyone,
        cut_value(effects.z, everyone, head_count(gamma, effects.z.size)),
    )


def bias_cut(study: Study, axis: str, *, scorer: str, protected: np.ndarray, alpha: float) -> tuple[Ranking, float]:
    """The unprotected heads by z_bias, cut below the top ⌊αN⌋; and the reliability of their order."""
    effects, n = axis_effects(study, axis, scorer=scorer, protected=protected)
    size = study.settings.knockout_samples_per_shard
    ranking = Ranking(
        effects.z,
        effects.gradient_se,
        effects.correction_se,
        n,
        size * knockout_counts(study, axis, size).sum(0),
        ~protected,
        cut_value(effects.z, ~protected, head_count(alpha, effects.z.size)),
    )
    return ranking, effects.reliability


def protected_heads(ranking: Ranking) -> np.ndarray:
    """The heads above the γ cut, (N) bool."""
    return ranking.z > ranking.cut


def _measured(knockout: np.ndarray | None, n_heads: int) -> np.ndarray:
    return np.zeros(n_heads) if knockout is None else np.isfinite(knockout).sum(0).astype(float)
