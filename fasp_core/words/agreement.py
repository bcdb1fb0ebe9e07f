"""Where an agreement of measures cannot be told, and why: too few things, or an order that is noise. Plain text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fasp_core.stats.rank_agreement import MIN_THINGS, RankAgreement
from fasp_core.words.numbers import format_fixed

LEAST_RELIABLE = 0.4  # below it a repeat would give another order (`captions.describe_reliability`)


def cannot_tell(found: RankAgreement, reliability: Sequence[float | None]) -> np.ndarray:
    """Pairs (k, k) whose correlation says little: of too few things, or with a measure whose own order is noise."""
    noise = np.array([known is not None and not known >= LEAST_RELIABLE for known in reliability])
    return (found.n < MIN_THINGS) | noise[:, None] | noise[None, :]


def describe_muted(
    names: Sequence[str], found: RankAgreement, reliability: Sequence[float | None], things: str
) -> list[str]:
    """Why pairs are faded or empty, besides an interval that includes 0; `things` are "heads" or "sets"."""
    notes = [
        f"{name}: reliability {format_fixed(known, 2)} is too low to tell; noise alone keeps it from agreeing."
        for name, known in zip(names, reliability, strict=True)
        if known is not None and not known >= LEAST_RELIABLE
    ]
    others = ~np.eye(len(names), dtype=bool)
    notes += [
        f"{name}: the same for all {things}, so there is nothing to compare."
        for name, r, n, other in zip(names, found.r, found.n, others, strict=True)
        if (n[other] >= MIN_THINGS).any() and np.isnan(r[other & (n >= MIN_THINGS)]).all()
    ]
    few = int((found.n[np.triu_indices(len(names), 1)] < MIN_THINGS).sum())
    if few:
        pairs = "1 pair of measures has" if few == 1 else f"{few} pairs of measures have"
        notes.append(f"{pairs} fewer than {MIN_THINGS} {things} in common: too few to tell.")
    return notes
