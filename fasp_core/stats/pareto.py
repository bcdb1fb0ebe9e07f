"""The points of a trade-off that no other point beats."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def pareto_front(ppl: Iterable[float], bias: Iterable[float]) -> np.ndarray:
    """Which points no other point beats, (n) bool. A beaten point is higher in one measure and not lower in the other.

    Of (20, 0.3), (25, 0.1), (26, 0.2) the last is beaten by the second. Points with a NaN are never on the front.
    """
    points = np.column_stack([np.asarray(list(ppl), float), np.asarray(list(bias), float)])
    known = np.isfinite(points).all(axis=1)
    as_good = (points[None, :, :] <= points[:, None, :]).all(axis=2) & known[None, :]
    better = (points[None, :, :] < points[:, None, :]).any(axis=2)
    return known & ~(as_good & better).any(axis=1)
