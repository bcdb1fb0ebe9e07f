"""Posterior means of noisy scores; the distribution of the true scores is learned from all of them (empirical Bayes).

Scores z have standard errors s, so the highest of many are partly high by luck. The true scores are assumed to come
from a mixture of normal distributions around 0 with standard deviations τ_k and shares p_k ("adaptive shrinkage",
Stephens 2017, doi:10.1093/biostatistics/kxw041). The shares are fitted by maximum likelihood of
z ~ Σ p_k N(0, τ_k² + s²). Then

    E[true | z] = z Σ_k q_k τ_k² / (τ_k² + s²),   q_k ∝ p_k N(z; 0, τ_k² + s²):

so a score with a large error is pulled towards 0, and a large score with a small error hardly moves. Other priors and a
lower confidence bound were compared out of sample: `python -m benchmarks.selection`, docs/experiments.md.
Letters: N heads, K components.
"""

from __future__ import annotations

import numpy as np

SPREADS = np.concatenate([[0.0], np.logspace(-1, 1.5, 11)])  # τ_k in units of the median standard error
STEPS = 100  # of EM; the order of the heads settles long before


def posterior_mean(z: np.ndarray, se: np.ndarray, fit_on: np.ndarray | None = None) -> np.ndarray:
    """E[true score | z], (N), in units of z; the shares are fitted on the scores of `fit_on` (N) bool, all by default.

    `z` and `se` are (N). Standard errors below 1/1000 of their median count as that. Scores stay as they are where
    their median is 0, or where their squares overflow.
    """
    return posterior_moments(z, se, fit_on)[0]


def posterior_moments(z: np.ndarray, se: np.ndarray, fit_on: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """`posterior_mean`, and the variance of the true scores around it, (N) each; 0 where scores stay as they are.

    The variance of a mixture: Σ q_k (v_k + m_k²) − (Σ q_k m_k)², with m_k and v_k those of component k.
    """
    unit = float(np.median(se))
    if unit == 0.0:
        return z.copy(), np.zeros_like(z)
    with np.errstate(all="ignore"):
        weights, shrink, noise = _mixture(z, se, unit, fit_on)
        mean = z * (weights * shrink).sum(0)
        variance = (weights * shrink * (noise + shrink * z**2)).sum(0) - mean**2
    variance = np.where(np.isfinite(variance), np.maximum(variance, 0.0), 0.0)
    return np.where(np.isfinite(mean), mean, z), variance


def posterior_draws(z: np.ndarray, se: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """True scores drawn from what is known of them, (draws, N), in units of z; each head for itself.

    `z` and `se` are (N), finite, with errors that are not all 0.
    """
    weights, shrink, noise = _mixture(z, se, float(np.median(se[se > 0])), None)
    reached = np.cumsum(weights, axis=0)[:, None, :] < rng.random((draws, z.size))  # (K, draws, N)
    component = np.minimum(reached.sum(0), len(SPREADS) - 1)
    kept = shrink[component, np.arange(z.size)]  # (draws, N)
    return kept * z + np.sqrt(kept * noise) * rng.standard_normal(kept.shape)


def _mixture(
    z: np.ndarray, se: np.ndarray, unit: float, fit_on: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chances q_k of the components and the share of z that each keeps, (K, N) both, and the squared errors (N)."""
    prior = (SPREADS * unit)[:, None] ** 2  # (K, 1)
    noise = np.maximum(se, 1e-3 * unit) ** 2
    density = _density(z, prior + noise)  # (K, N)
    fitted = density if fit_on is None else density[:, fit_on]
    shares = np.full((len(SPREADS), 1), 1 / len(SPREADS))
    for _ in range(STEPS):
        parts = shares * fitted
        shares = (parts / parts.sum(0)).mean(1, keepdims=True)
    parts = shares * density
    return parts / parts.sum(0), prior / (prior + noise), noise


def _density(z: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Normal densities around 0, (K, N), each head's relative to its largest, so that none are all 0."""
    log = -0.5 * (z**2 / variance + np.log(variance))
    return np.exp(log - log.max(0))
