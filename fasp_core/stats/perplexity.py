"""What removing each head does to perplexity, from windows of text. Numpy only.

Perplexity = exp(total NLL / total scored tokens): tokens weigh equally, not windows, so two windows of 10 and 30 nats
over 10 tokens each give e². `z_ppl(h) = perplexity without h − perplexity with h`; > 0: the model needs h.
How text is cut into windows: `data.windows`.
Letters: n windows, N heads, R rows of counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fasp_core.stats.axis_sums import MIN_KNOCKOUT_PROMPTS
from fasp_core.stats.resampling import (
    REPLICATES,
    SPLITS,
    Replicates,
    bootstrap_counts,
    bootstrap_scale,
    half_counts,
)

MIN_KNOCKOUT_WINDOWS = MIN_KNOCKOUT_PROMPTS // 2  # windows differ far less than continuations do


@dataclass(frozen=True)
class WindowSamples:
    """Everything measured on text: one row per window of the intact model.

    `log_prob` (n) of the scored tokens in nats, `n_tokens` (n), `gradient` (n, N) log-ratios, `knockout` (n, N) with
    NaN where not measured, or None.
    """

    log_prob: np.ndarray
    n_tokens: np.ndarray
    gradient: np.ndarray
    knockout: np.ndarray | None = None


@dataclass(frozen=True)
class PerplexityEffects:
    """z_ppl of all heads, (N), in units of perplexity, with bootstrap standard errors, and the intact model's value.

    `gradient_se` and `correction_se` are the two parts of `z_se`; the latter is NaN where there is no correction.
    """

    z: np.ndarray
    z_se: np.ndarray
    gradient_se: np.ndarray
    correction_se: np.ndarray
    corrected: np.ndarray
    reliability: float
    ppl: float
    ppl_se: float


def perplexity_effects(
    samples: WindowSamples, *, replicates: int = REPLICATES, splits: int = SPLITS, seed: int = 0
) -> PerplexityEffects:
    """z_ppl of every head: gradient over all windows + (knock-out − gradient) over those that have both.

    Standard errors are bootstrapped over windows and widened for how few there are: of a head with knock-outs, for how
    few windows have one. Reliability is split-half over all heads, Spearman–Brown corrected.
    """
    strata, rng = window_strata(samples), np.random.default_rng(seed)
    halves = half_counts(strata, splits, rng)
    draws = Replicates.of(bootstrap_counts(strata, replicates, rng), halves)
    ppl, first_order, z, corrected = effects_of_counts(samples, draws.counts)
    knocked_out = np.zeros(z.shape[1]) if samples.knockout is None else np.isfinite(samples.knockout).sum(0)
    by_windows = bootstrap_scale(samples.log_prob.size)
    by_knockouts = bootstrap_scale(np.where(corrected, knocked_out, 2))
    return PerplexityEffects(
        z=z[0],
        z_se=draws.se(z) * np.where(corrected, by_knockouts, by_windows),
        gradient_se=draws.se(first_order) * by_windows,
        correction_se=np.where(corrected, draws.se(z - first_order) * by_knockouts, np.nan),
        corrected=corrected,
        reliability=draws.reliability(z),
        ppl=float(ppl[0]),
        ppl_se=float(draws.se(ppl) * by_windows),
    )


def window_strata(samples: WindowSamples) -> np.ndarray:
    """Stratum code of every window, (n): 1 where some head was knocked out on it, else 0."""
    if samples.knockout is None:
        return np.zeros(samples.log_prob.size, int)
    return np.isfinite(samples.knockout).any(axis=1).astype(int)


def of_heads(samples: WindowSamples, heads: Sequence[int]) -> WindowSamples:
    """The same windows with the columns of some heads only, in that order."""
    columns = list(heads)
    knockout = None if samples.knockout is None else samples.knockout[:, columns]
    return replace(samples, gradient=samples.gradient[:, columns], knockout=knockout)


def effects_of_counts(
    samples: WindowSamples, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For rows of window counts (R, n): perplexity (R), z_ppl by gradient alone and with the corrections, (R, N) each;
    and which heads are corrected, (N)."""
    tokens = samples.n_tokens[:, None].astype(float)
    n_tokens = counts @ tokens  # (R, 1)
    base = np.exp(-(counts @ samples.log_prob[:, None]) / n_tokens)
    gradient = samples.gradient.astype(float)
    change = -(counts @ gradient) / n_tokens  # of the mean NLL per token, (R, N)
    first_order = base * np.expm1(change)
    corrected = np.zeros(gradient.shape[1], bool)
    if samples.knockout is not None:
        has = np.isfinite(samples.knockout)
        corrected = has.sum(0) >= MIN_KNOCKOUT_WINDOWS
        difference = np.where(has, samples.knockout - gradient, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            correction = -(counts @ difference) / (counts @ (has * tokens))
        change = change + np.where(corrected, correction, 0.0)
    return base[:, 0], first_order, base * np.expm1(change), corrected
