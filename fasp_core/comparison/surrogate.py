"""A surrogate of what removing any set of heads does, fitted to measured sets.

Attention Pruning (Dasu et al. 2025, arXiv 2503.15815) measures random sets of heads and fits small neural networks to
bias and perplexity as functions of the mask. With a few dozen sets of hundreds of heads there is no more to be learned
than what each head adds, so here it is ridge regression of the changes on the mask:

    gap_g(S) ≈ gap_g + Σ_{h∈S} effect_hg,   bias(S) = Σ_g |gap_g(S)|,   log ppl(S) − log ppl ≈ Σ_{h∈S} cost_h.

A bias is a sum of absolute gaps, so gaps are fitted, in which effects may add up. There is no intercept: without any
head removed nothing changes. The penalty draws effects and costs towards `start`: towards 0, or towards what scores of
single heads say, which measured sets then correct. Its strengths, one for the gaps and one for perplexity, are those
with the smallest leave-one-out error. `cross_validated` says how much of sets it has not seen the surrogate explains,
its choice of strength included: at 0 or below, or where the error reaches 0, it knows no more than the mean of the
measured sets.
Letters: n measured sets, F heads that may go, G groups, T targets. Numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fasp_core.stats.estimate import Estimate

STRENGTHS = np.logspace(-2, 3, 11)  # of the penalty, in units of the mean number of heads of a set
FEWEST_SETS = 4  # that a cross-validated R² is computed from


@dataclass(frozen=True, eq=False)
class MeasuredMasks:
    """What is fitted: `masks` (n, F) of 0 and 1, the intact model's `gaps` (G), and what each set changes.

    `gap_changes` (n, G) is in units of the bias, `log_rises` (n) is the logarithm of the factor of perplexity.
    """

    masks: np.ndarray
    gaps: np.ndarray
    gap_changes: np.ndarray
    log_rises: np.ndarray


@dataclass(frozen=True, eq=False)
class HeadEffects:
    """What each head's removal adds: to the groups' gaps `effects` (F, G), and to log perplexity `cost` (F)."""

    effects: np.ndarray
    cost: np.ndarray


@dataclass(frozen=True)
class Explained:
    """Cross-validated R² of the bias and of log perplexity; NaN where it cannot be told."""

    bias: Estimate
    log_ppl: Estimate


def fit_surrogate(measured: MeasuredMasks, start: HeadEffects | None = None) -> HeadEffects:
    """What each head adds, as all measured sets tell."""
    masks, start = measured.masks, start or _nothing(measured)
    changes, rises = _beyond(measured, start)
    effects, cost = (ridge(masks, y, best_strength(masks, y)) for y in (changes, rises))
    return HeadEffects(start.effects + effects, start.cost + cost[:, 0])


def cross_validated(measured: MeasuredMasks, start: HeadEffects | None = None) -> Explained:
    """How well each set is predicted by a surrogate of the others, whose strengths the others chose too."""
    masks, start, n = measured.masks, start or _nothing(measured), len(measured.masks)
    if n < FEWEST_SETS:
        return Explained(*[Estimate(np.nan, np.nan, n)] * 2)
    changes, rises = (left_out(masks, y) for y in _beyond(measured, start))
    predicted = measured.gaps + masks @ start.effects + changes
    bias = np.abs(measured.gaps + measured.gap_changes).sum(1)
    return Explained(
        r_squared(bias, np.abs(predicted).sum(1)),
        r_squared(measured.log_rises, masks @ start.cost + rises[:, 0]),
    )


def ridge(masks: np.ndarray, targets: np.ndarray, strength: float) -> np.ndarray:
    """Coefficients B (F, T) that minimise ‖targets − masks B‖² + strength ‖B‖², for targets (n, T)."""
    kernel = masks @ masks.T
    return masks.T @ np.linalg.solve(kernel + strength * np.eye(len(masks)), targets)


def best_strength(masks: np.ndarray, targets: np.ndarray) -> float:
    """Of STRENGTHS, in units of `targets` (n, T) alike, that with the smallest sum of squared leave-one-out errors."""
    kernel = masks @ masks.T
    values, vectors = np.linalg.eigh(kernel)
    strengths = STRENGTHS * max(float(np.trace(kernel)) / len(masks), 1.0)
    inside, errors = vectors.T @ targets, []
    for strength in strengths:
        kept = np.maximum(values, 0) / (np.maximum(values, 0) + strength)  # (n)
        leverage = (vectors**2) @ kept
        errors.append((((targets - vectors @ (kept[:, None] * inside)) / (1 - leverage)[:, None]) ** 2).sum())
    return float(strengths[int(np.argmin(errors))])


def left_out(masks: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Every set's targets (n, T) as the ridge fit of all other sets predicts them."""
    predicted = np.empty_like(targets)
    for i in range(len(masks)):
        rest = np.arange(len(masks)) != i
        coefficients = ridge(masks[rest], targets[rest], best_strength(masks[rest], targets[rest]))
        predicted[i] = masks[i] @ coefficients
    return predicted


def r_squared(measured: np.ndarray, predicted: np.ndarray) -> Estimate:
    """1 − Σ (measured − predicted)² / Σ (measured − mean)², of values (n); NaN where all measured are the same.

    The error is that of a ratio of two means over the sets, by the delta method.
    """
    n, spread = measured.size, (measured - measured.mean()) ** 2
    if not spread.any():
        return Estimate(np.nan, np.nan, n)
    missed = (measured - predicted) ** 2 / spread.mean()  # (n)
    left = float(missed.mean())
    error = np.std(missed - left * spread / spread.mean(), ddof=1) / np.sqrt(n)
    return Estimate(1 - left, float(error), n, n - 1)


def _nothing(measured: MeasuredMasks) -> HeadEffects:
    heads = measured.masks.shape[1]
    return HeadEffects(np.zeros((heads, measured.gaps.size)), np.zeros(heads))


def _beyond(measured: MeasuredMasks, start: HeadEffects) -> tuple[np.ndarray, np.ndarray]:
    """What `start` leaves of the measured changes (n, G), and of the rises of log perplexity, (n, 1)."""
    masks = measured.masks
    return measured.gap_changes - masks @ start.effects, (measured.log_rises - masks @ start.cost)[:, None]
