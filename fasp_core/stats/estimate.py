"""One number with its standard error, and its 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from fasp_core.stats.normal import Z95
from fasp_core.stats.resampling import bootstrap_scale


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error, 95 % interval, and the number of texts or windows behind it.

    The interval is Student's with `df` degrees of freedom: with few observations their own spread is uncertain too.
    Where a single observation tells nothing of the error, `se`, `low` and `high` are NaN. `df` None: many.
    """

    value: float
    se: float
    n: int
    df: int | None = None

    @classmethod
    def of_replicates(cls, values: np.ndarray, n: int, units: int, *, scale: bool = True) -> Estimate:
        """Value and error of (1 + R) values: the first is the estimate, the others are its bootstrap replicates.

        `units` is the number of independent units that were resampled (prompts or windows; of the smallest group,
        where there are groups). The spread of the replicates is multiplied by `bootstrap_scale(units)`, unless `scale`
        is False: for a bootstrap that does not understate it.
        """
        if units < 2:
            return cls(float(values[0]), np.nan, n)
        spread = float(np.nanstd(values[1:], ddof=1))
        return cls(float(values[0]), spread * float(bootstrap_scale(units)) if scale else spread, n, units - 1)

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - self._quantile * self.se

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + self._quantile * self.se

    def within(self, lowest: float = -np.inf, highest: float = np.inf) -> tuple[float, float]:
        """The 95 % interval, cut to the values that the quantity can have: a bias is at least 0, a share 0 to 1."""
        return float(np.clip(self.low, lowest, highest)), float(np.clip(self.high, lowest, highest))

    @property
    def _quantile(self) -> float:
        return Z95 if self.df is None else float(stdtrit(self.df, 0.975))
