"""Degenerate text: a pruned model that repeats itself may look harmless. Measures over words; no model is needed.

Bigrams are pairs of neighbouring words, in lower case. *Repetition* of a continuation is the share of its bigrams that
it has used before: "to be or to be" has the bigrams to-be, be-or, or-to, to-be, so 1 of 4 is repeated, 0.25.
*Distinct bigrams* of a pool of continuations is the number of different bigrams over that of all (distinct-2, Li et al.
2016, arXiv 1510.03055). It falls as pools grow, so compare only pools of equally many texts.
*Length* is the number of words: a model that stops early says less that could be counted. Numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from fasp_core.stats.estimate import Estimate


def bigrams(text: str) -> list[tuple[str, str]]:
    """The pairs of neighbouring words of a text, in lower case."""
    words = text.lower().split()
    return list(pairwise(words))


def repetition(text: str) -> float:
    """Share of a text's bigrams that it has used before, 0 to 1; lower is better. NaN below two words."""
    pairs = bigrams(text)
    return 1 - len(set(pairs)) / len(pairs) if pairs else math.nan


def distinct_bigrams(texts: Sequence[str]) -> float:
    """Share of different bigrams among all of a pool of texts, 0 to 1; higher is better. NaN without any bigram."""
    pairs = [pair for text in texts for pair in bigrams(text)]
    return len(set(pairs)) / len(pairs) if pairs else math.nan


def length(text: str) -> float:
    """Words of a text; neither more nor less is better."""
    return float(len(text.split()))


def paired_means(before: Sequence[float], after: Sequence[float]) -> list[Estimate]:
    """Means before, after, and of after − before, over the pairs that have both; errors are those of means."""
    pairs = np.array([before, after], float).T.reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    n = len(pairs)
    columns = (pairs[:, 0], pairs[:, 1], pairs[:, 1] - pairs[:, 0])
    if n == 0:
        return [Estimate(math.nan, math.nan, 0) for _ in columns]
    errors = [float(c.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan for c in columns]
    return [Estimate(float(c.mean()), se, n, n - 1 if n > 1 else None) for c, se in zip(columns, errors, strict=True)]
