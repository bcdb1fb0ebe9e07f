"""What one head, or a few together, do: to the mean of each group, to bias and perplexity, and to single texts.

All from the sums that scored the heads (see `axis_sums`): nothing is sampled again, and no model is needed. The scores
of a set are added up as if each head acted alone; that is a guess, and measuring the pruned set replaces it. The
heads' errors are not independent, since all are scored on the same samples, so a sum is bootstrapped as a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fasp_core.stats.axis_sums import AxisSamples, AxisSums
from fasp_core.stats.bias import axis_bias, effect_rows, group_means, group_shifts, standard_errors, summed
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.perplexity import WindowSamples, effects_of_counts, of_heads, window_strata
from fasp_core.stats.resampling import Replicates, replicate_counts


@dataclass(frozen=True)
class GroupEffect:
    """Mean toxicity of one group with and without a head; `change` = without − with, from the same samples."""

    group: str
    with_head: Estimate
    without_head: Estimate
    change: Estimate


def group_effects(sums: AxisSums, head: int, *, seed: int = 0) -> list[GroupEffect]:
    """Every group's mean toxicity with and without the head (a flat id), in the order of `sums.groups`.

    Errors are bootstrapped over the group's prompts; intervals are Student's, for groups of few prompts.
    """
    one, counts = sums.of_heads([head]), replicate_counts(sums.strata, seed)
    before = group_means(one, counts)  # (R, G)
    change = group_shifts(one, counts)[:, 0]
    effects = []
    for g, name in enumerate(sums.groups):
        inside = sums.group == g
        n, units = int(sums.n[inside].sum()), int(inside.sum())
        columns = (before[:, g], (before + change)[:, g], change[:, g])
        effects.append(GroupEffect(name, *(Estimate.of_replicates(column, n, units) for column in columns)))
    return effects


def summed_bias(sums: AxisSums, heads: Sequence[int], *, seed: int = 0) -> Estimate:
    """Σ z_bias over the heads (flat ids) with the standard error of the sum."""
    draws = Replicates(replicate_counts(sums.strata, seed))
    total = summed(effect_rows(sums.of_heads(heads), draws.counts))
    se = standard_errors(total, draws, sums.group, sums.shares)
    return Estimate(float(total.z[0, 0]), float(se[0]), int(sums.n.sum()))


def summed_ppl(windows: WindowSamples, heads: Sequence[int], *, seed: int = 0) -> Estimate:
    """Σ z_ppl over the heads (flat ids) with the standard error of the sum."""
    draws = Replicates(replicate_counts(window_strata(windows), seed))
    _, _, z, _ = effects_of_counts(of_heads(windows, heads), draws.counts)
    total = z.sum(axis=1)
    return Estimate(float(total[0]), float(draws.se(total)), windows.log_prob.size)


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
    """How the head was measured: `gradient`, `gradient + knock-out`, `knock-out` or `regenerated`."""

    def measured(matrix: np.ndarray | None) -> float:
        return 0.0 if matrix is None else float(np.isfinite(matrix[:, head]).mean())

    if measured(samples.regenerated) > 0:
        return "regenerated"
    share = measured(samples.knockout)
    return "knock-out" if share == 1 else "gradient + knock-out" if share > 0 else "gradient"


def bias_of(effects: Sequence[GroupEffect], shares: np.ndarray) -> tuple[float, float]:
    """The bias with and without the head, from the means of the groups and their shares π (G)."""
    with_head, without = (np.array([getattr(e, name).value for e in effects]) for name in ("with_head", "without_head"))
    return float(axis_bias(with_head, shares)), float(axis_bias(without, shares))
