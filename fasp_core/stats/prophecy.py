"""The Spearman–Brown prophecy: how reliable a ranking will be once more is measured (Spearman 1910, Brown 1910).

It holds where what is added is like what is there: as noisy, and no more alike than what is there is among itself.
"""

from __future__ import annotations

import math


def expected_reliability(reliability: float, times: float) -> float:
    """The reliability of `times` as many measurements: 0.5 by twice as many becomes 2 · 0.5 / 1.5 = 0.67.

    One of 0 or below is chance, and stays as it is.
    """
    return times * reliability / (1 + (times - 1) * reliability) if reliability > 0 else reliability


def times_needed(reliability: float, aim: float) -> float:
    """By how much to multiply the measurements to reach `aim`: from 0.5 to 0.8 by 4; infinite from 0 or below."""
    if reliability >= aim:
        return 1.0
    return aim * (1 - reliability) / (reliability * (1 - aim)) if reliability > 0 else math.inf
