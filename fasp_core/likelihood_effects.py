"""What each head does to the bias of log-odds, and how sure that is. Numpy only; measured by `likelihood`.

The value of a prompt is its mean log-odds of toxic and benign continuations (nats); bias = Σ_g |μ − μ_g| with μ_g the
mean value of group g's prompts, as everywhere. Without head h each value changes by Δ_h:

* gradient (first order): Δ = −∂ value / ∂ gate, over all prompts;
* combined: gradient + the mean of (knock-out − gradient) over the group's prompts that have both.

Letters: n prompts, K stems, G groups, N heads, R replicates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bias import (
    MIN_KNOCKOUT_PROMPTS,
    HeadEffects,
    axis_bias,
    bootstrap_counts,
    half_counts,
    split_half_reliability,
    standard_errors,
)


@dataclass(frozen=True)
class OddsSamples:
    """Everything measured for one axis: one row per prompt of the intact model.

    `log_odds` (n, K) nats, `group` (n) codes into `groups`, `shares` (G) = π_g, `gradient` (n, K, N) first-order
    changes of the log-odds without each head, `knockout` (n, K, N) exact ones with NaN where not measured, or None.
    """

    log_odds: np.ndarray
    group: np.ndarray
    shares: np.ndarray
    groups: tuple[str, ...]
    gradient: np.ndarray
    knockout: np.ndarray | None = None


def likelihood_effects(
    samples: OddsSamples, *, replicates: int = 400, splits: int = 20, seed: int = 0,
    protected: np.ndarray | None = None,
) -> HeadEffects:  # fmt: skip
    """z_bias of every head in nats, with standard errors, and reliability (split-half over prompts).

    Prompts are resampled within groups, pairs are fixed: errors are those of these pairs on other prompts.
    `protected` (N) bool leaves heads out of the reliability: those γ will protect anyway.
    """
    measured = np.zeros(samples.group.size, bool)
    if samples.knockout is not None:
        measured = np.isfinite(samples.knockout).any(axis=(1, 2))
    strata, rng = 2 * samples.group + measured, np.random.default_rng(seed)
    once = np.ones((1, strata.size))
    halves = half_counts(strata, splits, rng)
    counts = np.concatenate([once, bootstrap_counts(strata, replicates, rng), halves, 1 - halves])
    means, first_order, z, corrected, moves = _effects(samples, counts)
    boot = slice(1, replicates + 1)
    first, second = z[replicates + 1 : replicates + 1 + splits], z[replicates + 1 + splits :]
    bias = axis_bias(means, samples.shares)
    kept = np.ones(z.shape[1], bool) if protected is None else ~protected
    return HeadEffects(
        z=z[0], z_se=standard_errors(z, means, moves, boot, samples.group, samples.shares),
        gradient_se=first_order[boot].std(axis=0, ddof=1),
        correction_se=np.where(corrected, np.nanstd((z - first_order)[boot], axis=0, ddof=1), np.nan),
        corrected=corrected, effective_share=np.ones(z.shape[1]),
        reliability=split_half_reliability(first[:, kept], second[:, kept]),
        bias=float(bias[0]), bias_se=float(bias[boot].std(ddof=1)),
        group_means=means[0], group_means_se=means[boot].std(axis=0, ddof=1),
    )  # fmt: skip


def _effects(samples: OddsSamples, counts: np.ndarray) -> tuple[np.ndarray, ...]:
    """For each row of prompt counts (R, n): group means (R, G), z_bias by gradient alone and with the corrections,
    (R, N) each; which heads are corrected, (N); and by what the first row moves each group's mean, (N, G)."""
    value, gradient = samples.log_odds.mean(1)[:, None], samples.gradient.mean(1, dtype=float)  # (n, 1), (n, N)
    has = np.zeros(gradient.shape, bool)
    difference = np.zeros_like(gradient)
    if samples.knockout is not None:
        exact = samples.knockout.mean(1, dtype=float)
        has = np.isfinite(exact)
        difference = np.where(has, exact - gradient, 0.0)
    groups = [np.flatnonzero(samples.group == g) for g in range(len(samples.groups))]
    corrected = np.all([has[rows].sum(0) >= MIN_KNOCKOUT_PROMPTS for rows in groups], axis=0)
    means, shifted, exact = [], [], []
    for rows in groups:
        weight = counts[:, rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            n, n_exact = weight.sum(1, keepdims=True), weight @ has[rows].astype(float)
            means.append((weight @ value[rows] / n)[:, 0])
            shifted.append(means[-1][:, None] + weight @ gradient[rows] / n)
            exact.append(shifted[-1] + np.where(corrected, weight @ difference[rows] / n_exact, 0.0))
    means, shifted, exact = np.stack(means, -1), np.stack(shifted, -1), np.stack(exact, -1)  # (R, G), (R, N, G) twice
    base = axis_bias(means, samples.shares)[:, None]
    first_order, z = (base - axis_bias(moved, samples.shares) for moved in (shifted, exact))
    return means, first_order, z, corrected, exact[0] - means[0]
