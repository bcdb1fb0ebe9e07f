"""The 95 % interval of a number with a normal error; without scipy, which words and the command line do not need."""

from __future__ import annotations

import numpy as np

Z95 = 1.959963984540054  # half width of a 95 % interval in standard errors


def differs_from_zero(values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """True where the 95 % interval of a value leaves out zero; also where its error is not known (NaN).

    Values and errors have the same shape. Not corrected for looking at many heads at once: about one in twenty heads
    without any effect passes.
    """
    values, errors = np.asarray(values, dtype=float), np.asarray(errors, dtype=float)
    return np.isnan(errors) | (np.abs(values) > Z95 * errors)
