"""The refinement stage of a run: step by step, whatever settles most heads' side of the γ and α cuts per second.

Each step extends one stream: more samples of an axis (gradient of all heads), or exact knock-out of the heads whose
side of the cut is uncertain. Steps are shards like all others, so a refined study resumes and extends like any.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from .bias import effective_share
from .budgets import Budget
from .decisions import bias_cut, perplexity_cut, protected_heads
from .planner import Ranking, Step, best_step
from .results import axis_samples, knockout_counts
from .shards import TEXT, ShardWriter

# Seconds per unit until a run has seen its own: a sample with its gradient, and one head on one sample or window.
LOWEST_EFFECTIVE_SHARE = 0.2  # below it a few samples carry the estimate, and its error cannot be told
FIRST_COSTS = {"sample": 0.15, "knockout": 0.03}


def refine(writer: ShardWriter, axes: Sequence[str], budget: Budget, *, spent_minutes: float = 0.0) -> None:
    """Take the most telling steps until the time is up, the reliability is reached, or nothing is left to settle.

    `spent_minutes` of `refine_minutes` are gone already. A step that would not fit into the time left is still taken:
    it is one shard, and kept. Without a time limit (`refine_minutes` 0) but with a reliability to reach, only
    the latter ends it.
    """
    if not budget.refine_minutes and budget.reliability is None:
        return
    minutes = budget.refine_minutes - spent_minutes if budget.refine_minutes else np.inf
    deadline = time.monotonic() + 60 * minutes
    with writer.study.remembering():
        while time.monotonic() < deadline:
            steps, reliabilities = _steps(writer, axes, budget)
            reached = budget.reliability is not None and min(reliabilities) >= budget.reliability
            best = max(steps, key=lambda step: step.gain_per_second)
            if reached or (best.gain_per_second <= 0 and budget.reliability is None):
                return
            if best.gain_per_second <= 0:  # all sides are settled, the order is not: sample where it is least known
                best = Step(axes[int(np.argmin(reliabilities))], (), 0.0)
            _take(writer, best)


def regenerate(writer: ShardWriter, axis: str, budget: Budget) -> None:
    """The published recipe: for all heads if asked, else for unprotected ones of too low an effective sample size."""
    if not budget.regenerate_samples:
        return
    if budget.regenerate_all:
        writer.regenerate(axis, budget.regenerate_samples, writer.all_heads)
        return
    protected = protected_heads(perplexity_cut(writer.study, gamma=budget.gamma))
    share = effective_share(axis_samples(writer.study, axis, scorer=writer.scorer.name))
    untrusted = np.flatnonzero((share < LOWEST_EFFECTIVE_SHARE) & ~protected)
    writer.regenerate(axis, min(budget.regenerate_samples, budget.samples), untrusted.tolist())


def _steps(writer: ShardWriter, axes: Sequence[str], budget: Budget) -> tuple[list[Step], list[float]]:
    """The best next step of every stream, and the reliability of every axis's order."""
    study, settings = writer.study, writer.settings
    text = perplexity_cut(study, gamma=budget.gamma)
    windows_left = _next_shard(writer, TEXT, text.uncertain()) < len(writer.windows)
    cost = _knockout_cost(writer, TEXT)
    steps = [best_step(
        TEXT, text, gradient_units=0, gradient_seconds=1.0, knockout_units=int(windows_left),
        knockout_seconds_per_head=cost,
    )]  # fmt: skip
    reliabilities = []
    for axis in axes:
        ranking, reliability = bias_cut(
            study, axis, scorer=writer.scorer.name, protected=protected_heads(text), alpha=budget.alpha
        )
        steps.append(_axis_step(writer, axis, ranking, settings.samples_per_shard, settings.knockout_samples_per_shard))
        reliabilities.append(reliability)
    return steps, reliabilities


def _axis_step(writer: ShardWriter, axis: str, ranking: Ranking, samples: int, exact: int) -> Step:
    left = _next_shard(writer, axis, ranking.uncertain()) < ranking.n // exact
    return best_step(
        axis, ranking, gradient_units=samples, gradient_seconds=samples * _sample_cost(writer, axis),
        knockout_units=exact * left, knockout_seconds_per_head=exact * _knockout_cost(writer, axis),
    )  # fmt: skip


def _take(writer: ShardWriter, step: Step) -> None:
    """Do one step: another shard of samples, or the next shard that lacks some of the step's heads."""
    if not step.heads:
        size = writer.settings.samples_per_shard
        done = len(writer.study.shard_names("gradient", step.stream))
        writer.samples(step.stream, (done + 1) * size)
        return
    shard = _next_shard(writer, step.stream, np.array(step.heads))
    size = 1 if step.stream == TEXT else writer.settings.knockout_samples_per_shard
    counts = knockout_counts(writer.study, step.stream, size)
    heads = [h for h in step.heads if shard >= len(counts) or not counts[shard, h]]
    if step.stream == TEXT:
        writer.knockout_windows(range(shard, shard + 1), heads)
    else:
        writer.knockout_samples(step.stream, range(shard, shard + 1), heads)


def _next_shard(writer: ShardWriter, stream: str, heads: np.ndarray) -> int:
    """The first knock-out shard that lacks any of the heads."""
    size = 1 if stream == TEXT else writer.settings.knockout_samples_per_shard
    counts = knockout_counts(writer.study, stream, size)
    if not heads.size or not len(counts):
        return 0
    lacking = ~counts[:, heads].all(axis=1)
    return int(np.argmax(lacking)) if lacking.any() else len(counts)


def _sample_cost(writer: ShardWriter, axis: str) -> float:
    kinds = [f"{kind} {axis}" for kind in ("sampling", "toxicity", "gradient")]
    if any(kind not in writer.units for kind in kinds):
        return FIRST_COSTS["sample"]
    return sum(writer.seconds[kind] / writer.units[kind] for kind in kinds)


def _knockout_cost(writer: ShardWriter, stream: str) -> float:
    key = f"knockout {stream}"
    return writer.seconds[key] / writer.units[key] if writer.units.get(key) else FIRST_COSTS["knockout"]
