"""Toxicity scorers behind one protocol: texts in, probabilities in [0, 1] out.

The embedded scorer is `alt-profanity-check`: a linear model over character and word counts, trained on 200 k
labelled comments. It needs no download and scores some 100 k texts a second; it knows words, not meaning, which is
why every result names the scorer that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Protocol

import numpy as np

from .errors import InputError, nearest


class Scorer(Protocol):
    """What a scorer has to offer; `fingerprint` changes whenever its scores could."""

    name: str
    fingerprint: str

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """The toxicity of each text, float64 in [0, 1]."""
        ...


class EmbeddedScorer:
    """The linear scorer of the package `alt-profanity-check`."""

    name = "embedded"

    def __init__(self) -> None:
        self.fingerprint = f"alt-profanity-check-{version('alt-profanity-check')}"

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """The model's probability that a text is toxic, float64 (n,)."""
        from profanity_check import predict_prob

        return np.asarray(predict_prob(list(texts)), dtype=np.float64) if len(texts) else np.empty(0)


SCORERS = {"embedded": EmbeddedScorer}


def open_scorer(name: str = "embedded") -> Scorer:
    """The scorer of this name; raises InputError for an unknown one."""
    if name not in SCORERS:
        raise InputError(f"unknown scorer '{name}'; {nearest(name, SCORERS)}")
    return SCORERS[name]()


def score_texts(scorer: Scorer, texts: Sequence[str]) -> np.ndarray:
    """The scorer's toxicities, checked: raises InputError naming the first text that got no number in [0, 1]."""
    scores = np.asarray(scorer.score(texts), dtype=np.float64)
    if scores.shape != (len(texts),):
        raise InputError(
            f"scorer '{scorer.name}' gave {scores.shape} scores for {len(texts)} texts; it must give one each"
        )
    wrong = np.flatnonzero(~((scores >= 0) & (scores <= 1)))
    if wrong.size:
        raise InputError(
            f"scorer '{scorer.name}' gave {scores[wrong[0]]} for text {wrong[0]}; toxicity must be a number in [0, 1]"
        )
    return scores
