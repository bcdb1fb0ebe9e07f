"""Is there a bias at all? The omnibus test of an axis, which comes before any ranking of heads. Numpy and scipy only.

The bias Σ_g |μ − μ_g| is above 0 even where all groups are alike, so it is compared with what the same texts give when
the group labels are dealt out again. Prompts are dealt, with all their texts: texts of one prompt are not independent.
Each group keeps its number of prompts. `p_value` is the share of such deals with at least the bias seen.

How large the bias is, is answered by an interval that goes with the test: it holds every size of bias under which one
such as the one seen is not unusual (test inversion, with normal noise).

The same serves log-odds, with units and values from `unit_effects`; where the units are prompts, labels are dealt
within a `block`, such as the prompts of one template.
Letters: P prompts, G groups, R deals or draws, K measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fasp_core.errors import InputError
from fasp_core.stats.noise_floor import corrected_bias, group_gaps
from fasp_core.stats.resampling import dealt

PERMUTATIONS = 2_000
DRAWS = 4_000  # of normal noise, for intervals and sample sizes
CHUNK = 4_000_000  # numbers in memory at once
ROUNDING = 1e-12  # relative to the groups' means
TIE = 1e-9  # relative to the bias seen: deals this close to it are equal to it, noise this small is rounding


@dataclass(frozen=True)
class Omnibus:
    """What the texts of one axis say about whether there is a bias.

    `group_means` and `shares` (G); `permuted` (R) biases with the labels dealt out again; `within` and `between` (G, G)
    covariances of the measured gaps: the part that more texts of the same prompts would shrink, and the part that only
    more prompts would. NaN where a group has a single prompt. `n_texts` and `n_prompts` count all groups.
    """

    group_means: np.ndarray
    shares: np.ndarray
    permuted: np.ndarray
    within: np.ndarray
    between: np.ndarray
    n_texts: int
    n_prompts: int

    @property
    def gaps(self) -> np.ndarray:
        """μ − μ_g of every group, (G)."""
        return group_gaps(self.group_means, self.shares)

    @property
    def bias(self) -> float:
        """Σ_g |μ − μ_g| as measured; noise makes it larger."""
        return float(np.abs(self.gaps).sum())

    @property
    def floor(self) -> float:
        """The bias that noise alone gives, on average."""
        return float(self.permuted.mean())

    @property
    def p_value(self) -> float:
        """Chance of at least this bias where groups are alike: (1 + deals that reach it) / (1 + deals)."""
        least = self.bias * (1 - TIE) - ROUNDING * np.abs(self.group_means).max()
        return float((1 + (self.permuted >= least).sum()) / (1 + self.permuted.size))

    @property
    def least_p(self) -> float:
        """The smallest p-value that any texts of these prompts could have: with few prompts there are few deals.

        Two groups of two prompts can be dealt in 6 ways, two of which give the same bias: 1/3.
        """
        most = self.permuted.max() * (1 - TIE)
        return float((1 + (self.permuted >= most).sum()) / (1 + self.permuted.size))

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the measured gaps, (G, G)."""
        return self.within + self.between

    @property
    def bias_se(self) -> float:
        """Standard error of the bias as measured, to first order: that of Σ ± gap with the signs seen."""
        signs = np.sign(self.gaps)
        return float(np.sqrt(np.maximum(0.0, signs @ self.covariance @ signs)))  # NaN stays

    @property
    def corrected(self) -> float:
        """The bias without what noise adds to it (`noise_floor.corrected_bias`); may be below 0."""
        errors = np.sqrt(np.maximum(0, np.diag(self.covariance)))
        return float(corrected_bias(self.group_means, errors, self.shares))

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the true bias, from 0 up."""
        return bias_interval(self.gaps, self.covariance, self.shares)

    def critical(self, level: float = 0.05) -> float:
        """The bias that must be exceeded to be clear at this level."""
        return float(np.quantile(self.permuted, 1 - level))


def omnibus_test(
    sizes: np.ndarray,
    sums: np.ndarray,
    group: np.ndarray,
    shares: np.ndarray,
    *,
    squares: np.ndarray | None = None,
    block: np.ndarray | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Omnibus:
    """Test whether the groups of an axis differ in mean toxicity.

    `sizes` (P) texts of each prompt, `sums` (P) their summed toxicity, `squares` (P) the sum of its squares, which tell
    noise within prompts from noise between them (without, all counts as between; where no prompt has two texts, as
    within). `group` (P) codes 0 … G − 1, `shares` (G) = π_g. `block` (P) codes, such as templates: labels are dealt
    within blocks, and what the prompts of a block share is no noise.
    Raises InputError for a group without prompts, and where there are fewer than two groups.
    """
    sizes, sums, group = np.asarray(sizes, float), np.asarray(sums, float), np.asarray(group)
    prompts = np.bincount(group, minlength=len(shares))
    if len(shares) < 2 or prompts.size > len(shares) or (prompts == 0).any():
        raise InputError(
            "a bias needs texts of at least two groups, and of every group; sample more prompts of this axis"
        )
    total = np.bincount(group, sizes)
    means = np.bincount(group, sums) / total
    permuted = permuted_biases(sizes, sums, group, shares, block=block, permutations=permutations, seed=seed)
    covariance = gap_covariance(sizes, sums, group, shares, block=block)
    within = np.zeros_like(covariance)
    if squares is not None:
        variance = _within_variance(sizes, sums, squares, group)
        within = covariance if variance is None else (_centring(shares) * variance) @ _centring(shares).T
        within = within * min(1.0, np.trace(covariance) / max(np.trace(within), np.finfo(float).tiny))
    return Omnibus(
        means, np.asarray(shares, float), permuted, within, covariance - within, int(sizes.sum()), sizes.size
    )


def permuted_biases(
    sizes: np.ndarray,
    sums: np.ndarray,
    group: np.ndarray,
    shares: np.ndarray,
    *,
    block: np.ndarray | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> np.ndarray:
    """The bias with the labels dealt out again among prompts (within blocks), (R); arguments as in `omnibus_test`."""
    rng, found = np.random.default_rng(seed), []
    by_group = np.argsort(group, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(group))[:-1]])
    per_chunk = max(1, CHUNK // sizes.size)
    for start in range(0, permutations, per_chunk):
        order = dealt(min(per_chunk, permutations - start), sizes.size, block, rng)[:, by_group]
        means = np.add.reduceat(sums[order], starts, axis=1) / np.add.reduceat(sizes[order], starts, axis=1)
        found.append(np.abs(group_gaps(means, shares)).sum(-1))
    return np.concatenate(found)


def gap_covariance(
    sizes: np.ndarray, sums: np.ndarray, group: np.ndarray, shares: np.ndarray, *, block: np.ndarray | None = None
) -> np.ndarray:
    """Covariance of the measured gaps μ − μ_g, (G, G), with prompts as independent units; what a block shares cancels.

    From the influence of each prompt on its group's mean. Two groups of share ½ whose means have variance v each: the
    gaps are ± half the difference, so all entries are ± v / 2. NaN where a group has a single prompt.
    """
    prompts, lost = np.bincount(group), 1  # degrees of freedom that a group's own mean costs
    if block is not None:
        code = np.unique(block, return_inverse=True)[1]
        sums = sums - (np.bincount(code, sums) / np.bincount(code, sizes))[code] * sizes
        lost = 1 + (code.max() * prompts / len(code))  # the blocks' means, but one, cost every group its part
    total = np.bincount(group, sizes)
    influence = (sums - (np.bincount(group, sums) / total)[group] * sizes) / total[group]  # (P), on the group's mean
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.bincount(group, influence**2) * prompts / np.where(prompts > lost, prompts - lost, np.nan)
    centring = _centring(shares)
    return (centring * variance) @ centring.T


def bias_interval(
    gaps: np.ndarray, covariance: np.ndarray, shares: np.ndarray, *, level: float = 0.95
) -> tuple[float, float]:
    """The sizes of a true bias, from 0 up, that could well have given these gaps (G); (NaN, NaN) without an error.

    What is measured of true gaps is Σ |gaps + noise|. `low` is the size at which the bias seen is at its upper
    (1 + level) / 2 quantile, with the pattern of the measured gaps; `high` where it is at its lower (1 − level) / 2,
    with the even pattern, which noise adds least to. A bias seen that is smaller than noise alone usually gives is
    luck: `high` is then that of the usual (power-constrained limits, Cowan et al. 2011, arXiv 1105.3166).
    """
    from scipy.optimize import brentq  # takes a third of a second; where scores are kept, nothing asks for it

    seen = float(np.abs(gaps).sum())
    if not np.isfinite(covariance).all():
        return np.nan, np.nan
    noise = normal_noise(covariance)
    if seen == 0 or np.abs(noise).max() <= TIE * seen:
        return seen, seen
    upper, lower, even = (1 + level) / 2, (1 - level) / 2, even_gaps(shares, 1.0)

    def quantile(true_gaps: np.ndarray, at: float) -> float:
        return float(np.quantile(np.abs(true_gaps + noise).sum(-1), at))

    usual = max(seen, quantile(0 * even, 0.5))
    far = usual + 10 * float(np.abs(noise).sum(-1).max())
    high = brentq(lambda size: quantile(size * even, lower) - usual, 0.0, far)
    if quantile(0 * even, upper) >= seen:
        return 0.0, high
    return brentq(lambda size: quantile(size / seen * gaps, upper) - seen, 0.0, seen), high


def even_gaps(shares: np.ndarray, bias: float) -> np.ndarray:
    """Gaps (G) of a given bias with the groups about evenly above and below: of all patterns hard to tell from noise.

    Four equal groups and bias 0.2: 0.05, −0.05, 0.05, −0.05.
    """
    above = np.zeros(len(shares), bool)
    above[np.argsort(-np.asarray(shares), kind="stable")[::2]] = True
    gaps = np.where(above, shares[~above].sum(), -shares[above].sum())  # Σ π gap = 0
    return gaps * bias / np.abs(gaps).sum()


def normal_noise(covariance: np.ndarray, seed: int = 0) -> np.ndarray:
    """Normal noise of this covariance (G, G), (DRAWS, G); the same draws for every covariance."""
    values, vectors = np.linalg.eigh(covariance)
    standard = np.random.default_rng(seed).normal(size=(DRAWS, len(covariance)))
    return standard @ (vectors * np.sqrt(np.maximum(0, values))).T


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values (K) adjusted for looking at K axes at once (Holm 1979): clear where still at or below the level.

    0.01, 0.04, 0.03 → 0.03, 0.06, 0.06.
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
    return adjusted


def _within_variance(sizes: np.ndarray, sums: np.ndarray, squares: np.ndarray, group: np.ndarray) -> np.ndarray | None:
    """The part of the variance of each group's mean, (G), that texts of one prompt show; None where none has two."""
    texts, repeats = np.bincount(group, sizes), np.bincount(group, sizes - 1)
    if not repeats.any():
        return None
    spread = np.maximum(0, np.bincount(group, squares - sums**2 / sizes))
    return np.divide(spread, repeats, out=np.zeros_like(spread), where=repeats > 0) / texts


def _centring(shares: np.ndarray) -> np.ndarray:
    """The matrix (G, G) that turns group means into gaps."""
    return np.asarray(shares)[None, :] - np.eye(len(shares))
