"""What each head does to the bias of log-odds, and how sure that is. Numpy only; measured by `likelihood`.

The value of a prompt is its mean log-odds of toxic and benign continuations (nats); bias = Σ_g |μ − μ_g| with μ_g the
mean value of group g's prompts, as everywhere. Without head h each value changes by Δ_h:

* gradient (first order): Δ = −∂ value / ∂ gate, over all prompts;
* combined: gradient + the mean of (knock-out − gradient) over the group's prompts that have both.

Nothing is sampled: what is uncertain is how prompts and pairs stand for others. Both are resampled, as two crossed
random factors, by the product-weight bootstrap (Owen and Eckles 2012, doi:10.1214/12-AOAS547), which errs on the large
side: a read counts e_cell · e_stem times, with e exponential of mean 1. Cells (one prompt of each group, from one
template) and stems are shared by the groups, so what moves all groups alike cancels.

Letters: n prompts, m stems of each, M = n·m reads, G groups, N heads, R replicates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bias import MIN_KNOCKOUT_PROMPTS, HeadEffects, axis_bias, split_half_reliability, standard_errors
from .noise_floor import bias_floor, corrected_bias, gap_errors

REPLICATES = 400


@dataclass(frozen=True)
class OddsSamples:
    """Everything measured for one axis: one row per prompt of the intact model.

    `log_odds` (n, m) nats of the stems `stem` (n, m); `group` (n) codes into `groups`, `cell` and `block` (n) as
    planned (see `plan.each_prompt_once`), `shares` (G) = π_g; `gradient` (n, m, N) first-order changes of the log-odds
    without each head, `knockout` (n, m, N) exact ones with NaN where not measured, or None.
    """

    log_odds: np.ndarray
    group: np.ndarray
    cell: np.ndarray
    block: np.ndarray
    stem: np.ndarray
    shares: np.ndarray
    groups: tuple[str, ...]
    gradient: np.ndarray
    knockout: np.ndarray | None = None


def likelihood_effects(
    samples: OddsSamples, *, replicates: int = REPLICATES, splits: int = 20, seed: int = 0,
    protected: np.ndarray | None = None,
) -> HeadEffects:  # fmt: skip
    """z_bias of every head in nats, with standard errors that stand for other prompts and other pairs.

    Reliability is split-half over blocks: the halves share neither prompts nor pairs. With a single block, over cells.
    `protected` (N) bool leaves heads out of the reliability: those γ will protect anyway.
    """
    rng = np.random.default_rng(seed)
    once = np.ones((1, samples.stem.size))
    halves = _halves(samples, splits, rng)
    weights = np.concatenate([once, reweighted(samples.cell, samples.stem, replicates, rng), halves, 1 - halves])
    means, first_order, z, corrected, moves = _effects(samples, weights)
    boot = slice(1, replicates + 1)
    first, second = z[replicates + 1 : replicates + 1 + splits], z[replicates + 1 + splits :]
    bias = axis_bias(means, samples.shares)
    without_noise = corrected_bias(means, gap_errors(means[boot], samples.shares), samples.shares)
    floor = bias_floor(np.ones(len(samples.group)), _within_cells(samples)[:, None], samples.group, samples.shares)
    kept = np.ones(z.shape[1], bool) if protected is None else ~protected
    return HeadEffects(
        z=z[0], z_se=standard_errors(z, means, moves, boot, samples.group, samples.shares),
        gradient_se=first_order[boot].std(axis=0, ddof=1),
        correction_se=np.where(corrected, np.nanstd((z - first_order)[boot], axis=0, ddof=1), np.nan),
        corrected=corrected, effective_share=np.ones(z.shape[1]),
        reliability=split_half_reliability(first[:, kept], second[:, kept]),
        bias=float(bias[0]), bias_se=float(bias[boot].std(ddof=1)), bias_floor=float(floor[0]),
        bias_corrected=float(without_noise[0]), bias_corrected_se=float(without_noise[boot].std(ddof=1)),
        group_means=means[0], group_means_se=means[boot].std(axis=0, ddof=1),
    )  # fmt: skip


def doubtful_heads(samples: OddsSamples) -> list[int]:
    """Flat ids of the heads whose first order is wrong by enough to matter.

    Over the reads that have both, the root mean square of (knock-out − gradient) is above half that of the knock-out,
    and above the median standard error of z_bias.
    """
    exact = samples.knockout.reshape(-1, samples.gradient.shape[-1])
    error, size = (np.sqrt(np.nanmean(x**2, axis=0)) for x in (exact - samples.gradient.reshape(exact.shape), exact))
    return np.flatnonzero((error > size / 2) & (error > np.median(likelihood_effects(samples).z_se))).tolist()


def _within_cells(samples: OddsSamples) -> np.ndarray:
    """Each prompt's mean log-odds minus that of its cell, (n): what groups would have by chance, but for what template
    and stems do to all of them alike."""
    value = samples.log_odds.mean(1)
    cell = np.unique(samples.cell, return_inverse=True)[1]
    return value - (np.bincount(cell, value) / np.bincount(cell))[cell]


def reweighted(cell: np.ndarray, stem: np.ndarray, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """How much each read counts in each replicate, (R, n·m), for the prompts' cells (n) and stems (n, m)."""
    cells, stems = np.unique(cell, return_inverse=True)[1], np.unique(stem, return_inverse=True)[1].ravel()
    by_cell = rng.standard_exponential((replicates, cells.max() + 1))[:, np.repeat(cells, stem.shape[1])]
    return by_cell * rng.standard_exponential((replicates, stems.max() + 1))[:, stems]


def _halves(samples: OddsSamples, splits: int, rng: np.random.Generator) -> np.ndarray:
    """1 for reads of the first half, 0 for the second, (splits, M): blocks, or cells, are halved at random."""
    key = samples.block if np.unique(samples.block).size > 1 else samples.cell
    codes = np.repeat(np.unique(key, return_inverse=True)[1], samples.stem.shape[1])
    n = codes.max() + 1
    first = np.stack([rng.permutation(n) < (n + rng.integers(2)) // 2 for _ in range(splits)])
    return first[:, codes].astype(float)


def _effects(samples: OddsSamples, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """For each row of weights of reads (R, M): group means (R, G), z_bias by gradient alone and with the corrections,
    (R, N) each; which heads are corrected, (N); and by what the first row moves each group's mean, (N, G)."""
    n_heads = samples.gradient.shape[-1]
    value = samples.log_odds.reshape(-1, 1)  # (M, 1)
    gradient = samples.gradient.reshape(-1, n_heads).astype(float)  # (M, N)
    has, difference = np.zeros(gradient.shape, bool), np.zeros_like(gradient)
    if samples.knockout is not None:
        exact = samples.knockout.reshape(-1, n_heads)
        has = np.isfinite(exact)
        difference = np.where(has, exact - gradient, 0.0)
    per_prompt = samples.stem.shape[1]
    groups = [np.flatnonzero(np.repeat(samples.group == g, per_prompt)) for g in range(len(samples.groups))]
    corrected = np.all([has[rows].sum(0) >= MIN_KNOCKOUT_PROMPTS * per_prompt for rows in groups], axis=0)
    means, shifted, combined = [], [], []
    for rows in groups:
        weight = weights[:, rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            n, n_exact = weight.sum(1, keepdims=True), weight @ has[rows].astype(float)
            means.append((weight @ value[rows] / n)[:, 0])
            shifted.append(means[-1][:, None] + weight @ gradient[rows] / n)
            combined.append(shifted[-1] + np.where(corrected, weight @ difference[rows] / n_exact, 0.0))
    means, shifted, combined = (np.stack(parts, -1) for parts in (means, shifted, combined))  # (R, G), (R, N, G) twice
    base = axis_bias(means, samples.shares)[:, None]
    first_order, z = (base - axis_bias(moved, samples.shares) for moved in (shifted, combined))
    return means, first_order, z, corrected, combined[0] - means[0]
