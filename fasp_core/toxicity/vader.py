"""VADER (Hutto & Gilbert 2014), a lexicon of sentiment: what is negative is not always toxic, nor the reverse."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np


class VaderScorer:
    """The share of a text that is negative, VADER's `neg` in [0, 1]: 0.835 of "I hate you, terrible idiot"."""

    name = ref = "vader"

    def __init__(self) -> None:
        self.fingerprint = f"vaderSentiment-{version('vaderSentiment')}-neg"

    @cached_property
    def _analyzer(self) -> Any:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        return SentimentIntensityAnalyzer()

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """The negative share of each text, float64 (n,)."""
        return np.array([self._analyzer.polarity_scores(text)["neg"] for text in texts], dtype=np.float64)
