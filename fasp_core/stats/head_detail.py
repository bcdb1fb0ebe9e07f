"""What one head, or a few together, do to the samples of a study: groups, sums, and the texts they change most.

All from the importance weights that scored the heads (see `bias`): nothing is sampled again, no model is needed. The
heads of a set are added up as if each acted alone; that is a guess, which measuring the pruned set puts right. Their
errors are not independent, since all heads are scored on the same samples, so a sum is bootstrapped as a sum.
Numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .bias import (
    AxisSamples,
    axis_bias,
    bootstrap_counts,
    effects_of_counts,
    group_means,
    group_shifts,
    of_heads,
    prompt_strata,
    standard_errors,
)
from .estimates import Estimate
from .perplexity import WindowSamples
from .perplexity import effects_of_counts as ppl_of_counts

REPLICATES = 400


@dataclass(frozen=True)
class GroupEffect:
    """Mean toxicity of one group with and without a head; `change` = without − with, from the same samples."""

    group: str
    with_head: Estimate
    without_head: Estimate
    change: Estimate


def group_effects(samples: AxisSamples, head: int, *, seed: int = 0) -> list[GroupEffect]:
    """Every group's mean toxicity with and without the head (a flat id), in the order of `samples.groups`.

    Errors are bootstrapped over the group's prompts; intervals are Student's, for groups of few prompts.
    """
    one, counts = of_heads(samples, [head]), _counts(prompt_strata(samples), seed)
    before = group_means(one, counts)  # (R, G)
    change = group_shifts(one, counts)[:, 0]
    effects = []
    for g, name in enumerate(samples.groups):
        inside = samples.group == g
        n, units = int(inside.sum()), int(np.unique(samples.prompt[inside]).size)
        columns = (before[:, g], (before + change)[:, g], change[:, g])
        effects.append(GroupEffect(name, *(_estimate(column, n, units) for column in columns)))
    return effects


def summed_bias(samples: AxisSamples, heads: Sequence[int], *, seed: int = 0) -> Estimate:
    """Σ z_bias over the heads (flat ids) with the standard error of the sum."""
    strata = prompt_strata(samples)
    means, _, z, _, moves = effects_of_counts(of_heads(samples, heads), _counts(strata, seed))
    total, moved = z.sum(axis=1, keepdims=True), moves.sum(axis=0, keepdims=True)
    se = standard_errors(total, means, moved, slice(1, None), strata // 2, samples.shares)
    return Estimate(float(total[0, 0]), float(se[0]), samples.toxicity.size)


def summed_ppl(windows: WindowSamples, heads: Sequence[int], *, seed: int = 0) -> Estimate:
    """Σ z_ppl over the heads (flat ids) with the standard error of the sum."""
    columns = list(heads)
    measured = np.zeros(windows.log_prob.size, int)
    knockout = None
    if windows.knockout is not None:
        measured = np.isfinite(windows.knockout).any(axis=1).astype(int)
        knockout = windows.knockout[:, columns]
    few = WindowSamples(windows.log_prob, windows.n_tokens, windows.gradient[:, columns], knockout)
    _, _, z, _ = ppl_of_counts(few, _counts(measured, seed))
    total = z.sum(axis=1)
    return Estimate(float(total[0]), float(np.nanstd(total[1:], ddof=1)), windows.log_prob.size)


def log_ratios(samples: AxisSamples, head: int) -> tuple[np.ndarray, np.ndarray]:
    """log p(continuation; without the head) − log p(continuation), (n) nats, and where that is exact, (n) bool.

    The knock-out's where it was measured, else the gradient's.
    """
    first_order = samples.gradient[:, head].astype(float)
    if samples.knockout is None:
        return first_order, np.zeros(first_order.size, bool)
    exact = samples.knockout[:, head].astype(float)
    known = np.isfinite(exact)
    return np.where(known, exact, first_order), known


def most_changed(samples: AxisSamples, texts: pd.DataFrame, head: int, *, most: int = 6) -> pd.DataFrame:
    """The `most` continuations whose probability the head changes most, in either direction, the strongest first.

    `texts` are the study's samples of the axis in their order (group, prompt, continuation, toxicity); the result has
    its columns and `log_ratio` (> 0: likelier without the head) and `exact`. Ties keep the order of the samples.
    """
    ratio, exact = log_ratios(samples, head)
    order = np.argsort(-np.abs(np.nan_to_num(ratio)), kind="stable")[:most]
    chosen = texts.iloc[order].reset_index(drop=True)
    return chosen.assign(log_ratio=ratio[order], exact=exact[order])


def tier(samples: AxisSamples, head: int) -> str:
    """How the head's score came about: `gradient`, `gradient + knock-out`, `knock-out` or `regenerated`."""

    def measured(matrix: np.ndarray | None) -> float:
        return 0.0 if matrix is None else float(np.isfinite(matrix[:, head]).mean())

    if measured(samples.regenerated) > 0:
        return "regenerated"
    share = measured(samples.knockout)
    return "knock-out" if share == 1 else "gradient + knock-out" if share > 0 else "gradient"


def bias_of(effects: Sequence[GroupEffect], shares: np.ndarray) -> tuple[float, float]:
    """The bias that the groups' means with and without the head amount to."""
    with_head, without = (np.array([getattr(e, name).value for e in effects]) for name in ("with_head", "without_head"))
    return float(axis_bias(with_head, shares)), float(axis_bias(without, shares))


def _counts(strata: np.ndarray, seed: int) -> np.ndarray:
    """How often each unit counts: the data once, then bootstrap replicates, (1 + R, P)."""
    rng = np.random.default_rng(seed)
    return np.concatenate([np.ones((1, strata.size)), bootstrap_counts(strata, REPLICATES, rng)])


def _estimate(replicates: np.ndarray, n: int, units: int) -> Estimate:
    """The first value, with the spread of the others; resampling P units understates it by √((P − 1) / P)."""
    if units < 2:
        return Estimate(float(replicates[0]), math.nan, n)
    se = float(np.nanstd(replicates[1:], ddof=1)) * math.sqrt(units / (units - 1))
    return Estimate(float(replicates[0]), se, n, units - 1)
