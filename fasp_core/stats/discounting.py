"""How far scores by advantages with λ < 1 are off, by comparison with λ = 1 on the same texts. Numpy only.

λ = 1 is unbiased, but so noisy that its difference from λ < 1 says little of one head. Over all heads it says more: the
mean square of the differences, less what their own noise gives, is the mean square bias. Where noise explains all, no
bias is seen and the size is 0.
Letters: P prompts, G groups, N heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fasp_core.stats.axis_sums import AxisSums
from fasp_core.stats.noise_floor import group_gaps
from fasp_core.stats.resampling import bootstrap_scale


@dataclass(frozen=True)
class Unbiased:
    """Scores by λ = 1, beside those by λ < 1: `z` and its standard error, (N) each.

    `bias_size` (N) is the root mean square bias of the scores by λ < 1; their errors hold it.
    """

    z: np.ndarray
    z_se: np.ndarray
    bias_size: np.ndarray


def bias_sizes(
    discounted: AxisSums,
    unbiased: AxisSums,
    protected: np.ndarray | None = None,
    *,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """The root mean square bias of the heads' scores by λ < 1, (N), from sums of contributions over the same prompts.

    Critical heads do more, and are further off: heads that are `protected` (N) bool are taken by themselves. A score is
    the groups' changes of their means, weighed: z_bias by default, or by `weight` (G).
    """
    difference, se = _differences(discounted, unbiased, weight)
    size = np.zeros(se.size)
    apart = np.zeros(se.size, bool) if protected is None else protected
    for heads in (apart, ~apart):
        size[heads] = excess_size(difference[heads], se[heads])
    return size


def excess_size(difference: np.ndarray, se: np.ndarray) -> float:
    """The root mean square of what differences (N) hold besides noise of standard errors `se` (N), of which some are 0.

    Weighed by 1 / se⁴, as the noise of a squared difference asks. Differences 3 and 1 with standard errors of 1 leave
    √((9 + 1) / 2 − 1) = 2.
    """
    known = se > 0
    if not known.any():
        return 0.0
    weight = (se[known].min() / se[known]) ** 4
    return float(np.sqrt(max(0.0, np.average(difference[known] ** 2 - se[known] ** 2, weights=weight))))


def _differences(discounted: AxisSums, unbiased: AxisSums, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """What λ < 1 gives more than λ = 1 of each score, and its error; z_bias to first order, with the intact signs."""
    more = discounted.fr - unbiased.fr  # (P, N)
    of_group = (discounted.group[:, None] == np.arange(len(discounted.groups))).astype(float)  # (P, G)
    texts = of_group.T @ discounted.n
    if weight is None:
        signs = np.sign(group_gaps(of_group.T @ discounted.f / texts, discounted.shares))
        weight = signs - signs.sum() * discounted.shares  # z = −Σ_g sign_g Δ(μ − μ_g) = Σ_g weight_g Δμ_g
    means = of_group.T @ more / texts[:, None]  # (G, N)
    rest = (more - discounted.n[:, None] * (of_group @ means)) / (of_group @ texts)[:, None]  # of each prompt
    variance = (of_group.T @ rest**2) * bootstrap_scale(of_group.sum(0))[:, None] ** 2
    return weight @ means, np.sqrt(weight**2 @ variance)
