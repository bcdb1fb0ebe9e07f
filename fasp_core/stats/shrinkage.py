"""What a noisy score is worth: its posterior mean, with the distribution of the true scores learned from all of them.

Scores z have standard errors s, so the highest of many are high by luck as well as by merit. Empirical Bayes takes the
true scores to come from a mixture of normal distributions around 0 with standard deviations τ_k, shares p_k ("adaptive
shrinkage", Stephens 2017), finds the shares by maximum likelihood of z ~ Σ p_k N(0, τ_k² + s²), and gives

    E[true | z] = z Σ_k q_k τ_k² / (τ_k² + s²),   q_k ∝ p_k N(z; 0, τ_k² + s²):

a score measured badly is pulled towards 0, a large one measured well stays. Why this prior and not a single normal one
or a lower confidence bound: `python -m benchmarks.selection` compares them out of sample (see docs/experiments.md).
Letters: N heads, K components.
"""

from __future__ import annotations

import numpy as np

SPREADS = np.concatenate([[0.0], np.logspace(-1, 1.5, 11)])  # τ_k in units of the median standard error
STEPS = 100  # of EM; the order of the heads has long settled by then


def posterior_mean(z: np.ndarray, se: np.ndarray, fit_on: np.ndarray | None = None) -> np.ndarray:
    """E[true score | z], (N), in units of z; the shares are fitted on the scores of `fit_on` (N) bool, all by default.

    Standard errors are at least 1/1000 of their median; without any error scores stay as they are, and where numbers
    are too large to square. Raises nothing.
    """
    unit = float(np.median(se))
    if unit == 0.0:
        return z.copy()
    with np.errstate(all="ignore"):
        prior = (SPREADS * unit)[:, None] ** 2  # (K, 1)
        noise = np.maximum(se, 1e-3 * unit) ** 2  # (N)
        density = _density(z, prior + noise)  # (K, N)
        fitted = density if fit_on is None else density[:, fit_on]
        shares = np.full((len(SPREADS), 1), 1 / len(SPREADS))
        for _ in range(STEPS):
            parts = shares * fitted
            shares = (parts / parts.sum(0)).mean(1, keepdims=True)
        parts = shares * density
        expected = z * (parts / parts.sum(0) * prior / (prior + noise)).sum(0)
    return np.where(np.isfinite(expected), expected, z)


def _density(z: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Normal densities around 0, (K, N), each head's relative to its largest, so that none are all 0."""
    log = -0.5 * (z**2 / variance + np.log(variance))
    return np.exp(log - log.max(0))
