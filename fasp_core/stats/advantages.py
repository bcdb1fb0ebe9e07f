"""Advantages: how much each block of tokens of a text changed the toxicity that was to be expected. Numpy only.

The mean toxicity μ changes with the gate of head h by ∂μ/∂gate = E[Σ_t A_t ∂ log p(token t) / ∂gate], where A_t may be
the text's toxicity f less anything that does not depend on token t or later ones. With V_b = V(first b blocks) from a
`critic`, V_B = f at the end of a text of B blocks, and δ_b = V_{b+1} − V_b, the tokens of block b get

    A_b = Σ_{k ≥ 0} λ^k δ_{b+k}        (generalised advantage estimation, Schulman et al. 2016, arXiv 1506.02438)

* λ = 1: A_b = f − V_b. Unbiased whatever V is.
* λ < 1: credit does not reach as far past the block. Much less variance; unbiased only where V is the true expectation.

So a smaller variance alone does not speak for λ < 1: measure it against λ = 1.
"""

from __future__ import annotations

import numpy as np

# The default; docs/estimators.md has the figures of others. Studies hold sums by this λ: another one needs new shards.
LAMBDA = 0.7


def advantages(values: np.ndarray, *, lam: float) -> np.ndarray:
    """A_b of every block, (n, B), in units of toxicity, from the values of every prefix, (n, B + 1); λ = `lam`, 0 … 1.

    A row of `values` holds the text's toxicity from its end on, as `prefix_values` gives it; blocks past the end get 0.
    Values 0.1, 0.3, 0.2 have δ = 0.2, −0.1; λ = 1 gives 0.1, −0.1 and λ = 0.5 gives 0.15, −0.1.
    """
    result = np.diff(values, axis=1)
    for b in range(result.shape[1] - 2, -1, -1):
        result[:, b] += lam * result[:, b + 1]
    return result
