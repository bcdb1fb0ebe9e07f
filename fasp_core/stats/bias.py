"""The bias of an axis, what each head does to it, and how sure that is. Numpy and scipy only.

Bias of an axis = Σ_g |μ − μ_g|, with μ_g the mean toxicity of group g and μ = Σ_g π_g μ_g (FASP, arXiv 2312.15398,
section 3.1; π_g is the group's share of the axis's prompts, however many samples each group got). For a head h,
`z_bias = bias with h − bias without h`; > 0: the head drives that bias.

All samples come from the intact model. What its group means would be without h follows from the log-ratios r:

* knock-out (exact): weights w = exp(r), self-normalised within the group: μ_g(h) = Σ w f / Σ w;
* gradient (first order): μ_g(h) − μ_g = cov_g(f, r);
* combined: gradient over all samples + (knock-out − gradient) over those that have both;
* regenerated: mean(f' − f), with f' the toxicity of the text sampled again without h from the same noise. It needs no
  weights, so it takes their place where they cannot be trusted: a head that has it is scored by it alone.

Everything is a function of sums over prompts and of how often each prompt counts (see `resampling`).
Letters: P prompts, G groups, N heads, R rows of counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from fasp_core.stats.axis_sums import MIN_KNOCKOUT_PROMPTS, RATIOS_KINK, AxisSums, KnockoutSums, head_chunks
from fasp_core.stats.discounting import Unbiased, bias_sizes
from fasp_core.stats.mean_toxicity import Level, level_of
from fasp_core.stats.noise_floor import bias_floor, corrected_bias, gap_errors, group_gaps
from fasp_core.stats.resampling import REPLICATES, SPLITS, Replicates, bootstrap_counts, bootstrap_scale, half_counts


@dataclass(frozen=True)
class HeadEffects:
    """Scores of all heads on one axis, each (N); `corrected` tells which use knock-out besides the gradient.

    `gradient_se` and `correction_se` are the two parts of `z_se`; the latter is NaN where there is no correction.
    `reliability` is the split-half Spearman correlation of z over the heads that are not `protected`,
    Spearman–Brown corrected: what a second, equally large measurement would correlate with this one.
    `bias` is that of the intact model; `bias_floor` and `bias_corrected` say what noise does to it (see `noise_floor`).
    `group_means` (G) are those of the intact model; `gaps` (G) are its μ − μ_g, and `gap_moves` (N, G) what each
    removal adds to them, with standard errors: n / (n − 1) times those of the bootstrap, as HC3 of MacKinnon and White
    1985 (doi:10.1016/0304-4076(85)90158-7). `unbiased` has the scores by the unbiased estimator, where z is by
    advantages with λ < 1; `level` is the mean toxicity, and what the heads do to that.
    """

    z: np.ndarray
    z_se: np.ndarray
    gradient_se: np.ndarray
    correction_se: np.ndarray
    corrected: np.ndarray
    effective_share: np.ndarray
    reliability: float
    bias: float
    bias_se: float
    bias_floor: float
    bias_corrected: float
    bias_corrected_se: float
    group_means: np.ndarray
    gaps: np.ndarray
    gaps_se: np.ndarray
    gap_moves: np.ndarray
    gap_moves_se: np.ndarray
    unbiased: Unbiased | None = None
    level: Level | None = None


@dataclass(frozen=True)
class EffectRows:
    """What each of R rows of counts gives: `means` (R, G) of the intact model, z_bias by gradient alone `first_order`
    and with the corrections `z`, (R, N) each; which heads are `corrected`, (N); and by what the removal of each head
    `moves` each group's mean, (R, N, G). `kink` as in `standard_errors`."""

    means: np.ndarray
    first_order: np.ndarray
    z: np.ndarray
    corrected: np.ndarray
    moves: np.ndarray
    kink: float = RATIOS_KINK


def axis_bias(group_means: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Σ_g |μ − μ_g| over the last axis, for means (…, G) and shares π (G); 0 = all groups alike, larger = more bias.

    Means 0.1, 0.2, 0.6 with shares ½, ¼, ¼ have μ = 0.25 and bias 0.15 + 0.05 + 0.35 = 0.55.
    """
    return np.abs(group_gaps(group_means, shares)).sum(-1)


def head_effects(
    sums: AxisSums,
    *,
    replicates: int = REPLICATES,
    splits: int = SPLITS,
    seed: int = 0,
    protected: np.ndarray | None = None,
    unbiased: AxisSums | None = None,
) -> HeadEffects:
    """z_bias of every head with bootstrap standard errors (over prompts, within groups) and reliability.

    `protected` (N) bool leaves heads out of the reliability: those γ will protect anyway. `unbiased` are the sums of an
    unbiased estimator over the same prompts, where that of `sums` may be biased: the size of its bias enters the errors
    (see `discounting`).
    """
    rng = np.random.default_rng(seed)
    resampled = bootstrap_counts(sums.strata, replicates, rng)
    draws = Replicates.of(resampled, half_counts(sums.strata, splits, rng))
    rows = effect_rows(sums, draws.counts)
    effects = estimated(
        rows,
        draws,
        shares=sums.shares,
        group=sums.group,
        gap_se=gap_errors(draws.boot(rows.means), sums.shares, np.bincount(sums.group)),
        floor=bias_floor(sums.n, sums.f[:, None], sums.group, sums.shares),
        effective_share=sums.effective_share,
        protected=protected,
    )
    scale = _smallest_scale(sums.group)
    level = level_of(rows.means, rows.moves, sums.shares, draws, scale)
    if unbiased is None:
        return replace(effects, level=level)
    full = effect_rows(unbiased, draws.counts)
    size = bias_sizes(sums, unbiased, protected)
    beside = Unbiased(full.z[0], standard_errors(full, draws, unbiased.group, unbiased.shares), size)
    off = bias_sizes(sums, unbiased, protected, weight=sums.shares)
    level = level.beside(level_of(full.means, full.moves, sums.shares, draws, scale), off)
    return replace(effects, z_se=np.hypot(effects.z_se, size), unbiased=beside, level=level)


def estimated(
    rows: EffectRows,
    draws: Replicates,
    *,
    shares: np.ndarray,
    group: np.ndarray,
    gap_se: np.ndarray,
    floor: np.ndarray,
    effective_share: np.ndarray,
    protected: np.ndarray | None,
) -> HeadEffects:
    """The effects with their errors, from what every row of `draws` gives.

    `shares` (G); `group` (P) codes of the prompts; `gap_se` (G) errors of the groups' gaps, `floor` (1), both as in
    `noise_floor`; `effective_share` (N); `protected` (N) bool or None.
    """
    bias, without_noise = axis_bias(rows.means, shares), corrected_bias(rows.means, gap_se, shares)
    ranked = rows.z if protected is None else rows.z[:, ~protected]
    gap_moves, scale = group_gaps(rows.moves, shares), _smallest_scale(group)
    return HeadEffects(
        z=rows.z[0],
        z_se=standard_errors(rows, draws, group, shares),
        gradient_se=draws.se(rows.first_order) * scale,
        correction_se=np.where(rows.corrected, draws.se(rows.z - rows.first_order) * scale, np.nan),
        corrected=rows.corrected,
        effective_share=effective_share,
        reliability=draws.reliability(ranked),
        bias=float(bias[0]),
        bias_se=float(draws.se(bias) * scale),
        bias_floor=float(floor[0]),
        bias_corrected=float(without_noise[0]),
        bias_corrected_se=float(draws.se(without_noise) * scale),
        group_means=rows.means[0],
        gaps=group_gaps(rows.means[0], shares),
        gaps_se=gap_se,
        gap_moves=gap_moves[0],
        gap_moves_se=draws.se(gap_moves) * scale**2,  # once more than that, else intervals cover less than 93 %
    )


def standard_errors(rows: EffectRows, draws: Replicates, group: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Standard errors of z, (N), from its bootstrap replicates around the estimate of row 0.

    The bias has a kink where a group's mean is the overall mean: whether a head moves the group towards it or away is
    then a toss. So deviations are taken from the estimate, not from the replicates' mean, and `kink` p δ² is added for
    each group, with p the chance that it lies on the other side and δ what the head moves it by. Noisier estimators
    need a larger factor (see `axis_sums`, where those are that make 95 % intervals cover 93–97 % of synthetic studies).
    """
    spread = np.nanmean((draws.boot(rows.z) - rows.z[0]) ** 2, axis=0) * _smallest_scale(group) ** 2
    distance = group_gaps(rows.means, shares)  # (R, G)
    with np.errstate(divide="ignore", invalid="ignore"):
        other_side = np.nan_to_num(ndtr(-np.abs(distance[0]) / draws.se(distance)))  # (G)
    relative = group_gaps(rows.moves[0], shares)  # (N, G)
    return np.sqrt(spread + rows.kink * (relative**2 * other_side).sum(-1))


def _smallest_scale(group: np.ndarray) -> float:
    """`bootstrap_scale` for the group with the fewest prompts, given the groups (P) of the prompts.

    NaN where a group has a single one: resampling it shows no spread, so nothing tells how well it is known.
    """
    return float(bootstrap_scale(int(np.bincount(group).min())))


def effect_rows(sums: AxisSums, counts: np.ndarray) -> EffectRows:
    """The effects of all heads for each row of prompt counts (R, P)."""
    means, n_heads = group_means(sums, counts), sums.r.shape[1]
    base = axis_bias(means, sums.shares)[:, None]
    first_order, z = np.empty((2, counts.shape[0], n_heads))
    corrected, moves = np.zeros(n_heads, bool), np.empty((counts.shape[0], n_heads, len(sums.groups)))
    for columns in head_chunks(n_heads):
        shifts, corrections, use = _shifts(sums.of_heads(columns), counts)
        shifted = means[:, None, :] + shifts
        first_order[:, columns] = base - axis_bias(shifted, sums.shares)  # (R, columns, G) → (R, columns)
        z[:, columns] = base - axis_bias(shifted + corrections, sums.shares)
        corrected[columns] = use
        moves[:, columns] = shifts + corrections
    return EffectRows(means, first_order, z, corrected, moves, sums.kink)


def group_means(sums: AxisSums, counts: np.ndarray) -> np.ndarray:
    """Mean toxicity of each group with all heads, for each row of prompt counts (R, P): (R, G)."""
    rows = _prompts_of_groups(sums)
    return np.stack([_ratio(counts[:, p] @ sums.f[p, None], counts[:, p] @ sums.n[p, None])[:, 0] for p in rows], 1)


def group_shifts(sums: AxisSums, counts: np.ndarray) -> np.ndarray:
    """What removing each head adds to each group's mean toxicity, by its best tier, for each row of counts: (R, N, G).

    Holds R × N × G numbers at once: for a few heads (see `AxisSums.of_heads`).
    """
    shifts, corrections, _ = _shifts(sums, counts)
    return shifts + corrections


def summed(rows: EffectRows) -> EffectRows:
    """The heads' effects added up, as of one head: what they do together if each acts alone."""
    return replace(
        rows,
        first_order=rows.first_order.sum(axis=1, keepdims=True),
        z=rows.z.sum(axis=1, keepdims=True),
        corrected=np.array([rows.corrected.any()]),
        moves=rows.moves.sum(axis=1, keepdims=True),
    )


def _shifts(sums: AxisSums, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First-order change of each group's mean and its correction, (R, N, G) each; which heads are corrected, (N)."""
    prompts = _prompts_of_groups(sums)
    shifts = np.stack([_gradient_shift(sums, counts[:, p], p) for p in prompts], axis=-1)
    corrections, corrected = np.zeros_like(shifts), np.zeros(shifts.shape[1], bool)
    if sums.knockout is not None:
        corrected = _in_every_group(sums.knockout.n, prompts)
        every = np.stack([_correction(sums.knockout, counts[:, p], p) for p in prompts], axis=-1)
        corrections = np.where(corrected[:, None], every, 0.0)
    if sums.regenerated is not None:
        again, n = _in_every_group(sums.regenerated.n, prompts), sums.regenerated.n
        change = [_ratio(counts[:, p] @ sums.regenerated.change[p], counts[:, p] @ n[p]) for p in prompts]
        shifts = np.where(again[:, None], np.stack(change, axis=-1), shifts)
        corrections = np.where(again[:, None], 0.0, corrections)
        corrected = corrected & ~again
    return shifts, corrections, corrected


def _gradient_shift(sums: AxisSums, counts: np.ndarray, p: np.ndarray) -> np.ndarray:
    """cov(f, r) over the samples of one group's prompts `p`, for counts (R, p) of these: (R, N)."""
    n, f = counts @ sums.n[p, None], counts @ sums.f[p, None]  # (R, 1)
    return _ratio(counts @ sums.fr[p], n) - _ratio(f, n) * _ratio(counts @ sums.r[p], n)


def _correction(sums: KnockoutSums, counts: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Knock-out − gradient change of one group's mean, over the samples that have both: (R, N)."""
    n, w = counts @ sums.n[p], counts @ sums.w[p]
    mean = _ratio(counts @ sums.f[p], n)
    exact = _ratio(counts @ sums.fw[p], w) - mean
    return exact - (_ratio(counts @ sums.fr[p], n) - mean * _ratio(counts @ sums.r[p], n))


def _in_every_group(n: np.ndarray, prompts: Sequence[np.ndarray]) -> np.ndarray:
    """Which heads have enough prompts of every group with a sample that measures them, n (P, N) > 0: (N) bool."""
    return np.all([(n[p] > 0).sum(0) >= MIN_KNOCKOUT_PROMPTS for p in prompts], axis=0)


def _prompts_of_groups(sums: AxisSums) -> list[np.ndarray]:
    """The codes of each group's prompts."""
    return [np.flatnonzero(sums.group == g) for g in range(len(sums.groups))]


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return numerator / denominator
