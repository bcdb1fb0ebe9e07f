"""Prompts as token ids, the keys of their noise, and how well drawn tokens fit probabilities."""

from __future__ import annotations

import numpy as np

from fasp_core.passes.sampling import noise_key

PROMPTS = [[5, 6, 7, 8], [9, 10], [11, 12, 13, 14, 15, 16], [5, 6, 7, 8]]


def keys(n, seed=0):
    return [noise_key(seed, "test", "prompt", draw) for draw in range(n)]


def chi_square(tokens, probabilities):
    """χ² per degree of freedom."""
    expected = probabilities * len(tokens)
    seen = np.bincount(tokens, minlength=expected.size)
    common = expected >= 5
    observed, expected = (np.append(x[common], x[~common].sum()) for x in (seen, expected))
    return ((observed - expected) ** 2 / expected).sum() / (expected.size - 1)
