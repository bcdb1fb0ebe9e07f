"""Standard errors and reliability by resampling: bootstrap replicates and random halves of the units. Numpy only.

An estimate is a function of how often each unit counts, so one function serves the estimate itself (every unit once),
the bootstrap (units drawn with replacement) and the split halves (each unit 0 or 1 times).
Letters: P units (prompts, windows or reads), R replicates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fasp_core.stats.prophecy import expected_reliability

REPLICATES = 400
SPLITS = 20


@dataclass(frozen=True)
class Replicates:
    """The rows of unit counts (rows, P) that an estimate is computed for, and what is read off its values.

    Row 0 is the data as they are, then come the bootstrap replicates, then `n_splits` first halves and their
    `n_splits` second halves. The methods take values that were computed for every row, (rows, …).
    """

    counts: np.ndarray
    n_splits: int = 0

    @classmethod
    def of(cls, resampled: np.ndarray, halves: np.ndarray, others: np.ndarray | None = None) -> Replicates:
        """All rows, from bootstrap counts (R, P) and first halves (splits, P) of ones and zeros.

        The second halves are `others` (splits, P), by default all units that the first leave.
        """
        once = np.ones((1, resampled.shape[1]))
        return cls(np.concatenate([once, resampled, halves, 1 - halves if others is None else others]), len(halves))

    def boot(self, values: np.ndarray) -> np.ndarray:
        """The bootstrap replicates among the values, (R, …)."""
        return values[1 : len(self.counts) - 2 * self.n_splits]

    def se(self, values: np.ndarray) -> np.ndarray:
        """Standard error of the values of row 0, (…): the standard deviation of the replicates that have a number.

        NaN where fewer than two of them have one.
        """
        values = self.boot(values)
        enough = (~np.isnan(values)).sum(axis=0) > 1
        return np.where(enough, np.nanstd(np.where(enough, values, 0.0), axis=0, ddof=1), np.nan)

    def halves(self, values: np.ndarray) -> list[np.ndarray]:
        """The values of the first halves and of the second halves, (n_splits, …) each."""
        return np.split(values[len(self.counts) - 2 * self.n_splits :], 2)

    def reliability(self, values: np.ndarray) -> float:
        """How well the order of values (rows, N) would be found again, see `split_half_reliability`."""
        return split_half_reliability(*self.halves(values))


def replicate_counts(
    strata: np.ndarray, seed: int | np.random.Generator = 0, replicates: int = REPLICATES
) -> np.ndarray:
    """How often each unit counts: every unit once, then the bootstrap replicates, (1 + R, P)."""
    resampled = bootstrap_counts(strata, replicates, np.random.default_rng(seed))
    return np.concatenate([np.ones((1, strata.size)), resampled])


def bootstrap_counts(strata: np.ndarray, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """How often each unit counts in each replicate, (R, P): drawn with replacement within every stratum."""
    counts = np.zeros((replicates, strata.size))
    for stratum in np.unique(strata):
        units = np.flatnonzero(strata == stratum)
        counts[:, units] = rng.multinomial(units.size, np.full(units.size, 1 / units.size), size=replicates)
    return counts


def bootstrap_scale(units: int | np.ndarray) -> np.ndarray:
    """By how much to multiply a standard error from resampling so many units: √(n / (n − 1)); NaN for a single one.

    A mean of n units drawn from those n has a variance of (n − 1) / n of what new units would give: for 2 units the
    factor is √2.
    """
    n = np.asarray(units, float)
    return np.sqrt(n / np.where(n > 1, n - 1, np.nan))


def half_counts(strata: np.ndarray, splits: int, rng: np.random.Generator) -> np.ndarray:
    """1 for units of the first half, 0 for the second, (splits, P): every stratum is halved at random."""
    counts = np.zeros((splits, strata.size))
    for stratum in np.unique(strata):
        units = np.flatnonzero(strata == stratum)
        for row in counts:
            row[rng.permutation(units)[: (units.size + rng.integers(2)) // 2]] = 1
    return counts


def split_half_reliability(first: np.ndarray, second: np.ndarray) -> float:
    """Mean Spearman ρ between the rows of two (splits, N) arrays, Spearman–Brown corrected: 2ρ / (1 + ρ).

    It estimates what a second, equally large measurement would correlate with this one; halves alone correlate less. A
    ρ of 0 or below is chance and is given as it is.
    """
    rhos = [spearman(a, b) for a, b in zip(first, second, strict=True)]
    return expected_reliability(float(np.mean(rhos)) if rhos else np.nan, 2)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman rank correlation of two arrays (N), over the places where both have a number.

    NaN where fewer than 3 are left, or where one array is constant.
    """
    good = np.isfinite(a) & np.isfinite(b)
    if good.sum() < 3:
        return np.nan
    ra, rb = average_ranks(a[good]), average_ranks(b[good])
    if ra.std() == 0 or rb.std() == 0:
        return np.nan
    return float(np.corrcoef(ra, rb)[0, 1])


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 along the last axis, same shape; equal values share their mean rank: 5, 7, 5 → 1.5, 3, 1.5.

    As `scipy.stats.rankdata`, without the import of scipy.stats, which the app would wait for when it starts.
    """
    order = np.argsort(values, axis=-1)
    ordered, places = np.take_along_axis(values, order, -1), np.arange(values.shape[-1])
    is_new = np.diff(ordered, axis=-1, prepend=np.nan) != 0
    is_last = np.diff(ordered, axis=-1, append=np.nan) != 0
    first = np.maximum.accumulate(np.where(is_new, places, 0), axis=-1)
    last = np.minimum.accumulate(np.where(is_last, places, places.size)[..., ::-1], axis=-1)[..., ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, -1)
    return ranks


def dealt(deals: int, units: int, block: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Random orders of units, (deals, P): entry j is the unit that takes the place of unit j, of its `block` (P)."""
    if block is None:
        return rng.permuted(np.tile(np.arange(units), (deals, 1)), axis=1)
    codes = np.unique(block, return_inverse=True)[1]
    places = np.argsort(codes, kind="stable")  # units, block by block
    order = np.empty((deals, units), int)
    order[:, places] = places[np.argsort(codes[places] + rng.random((deals, units)), axis=1)]
    return order
