"""Toxicity scorers behind one protocol: texts in, probabilities in [0, 1] out.

    open_scorer()                          the default: Detoxify where its weights are on this machine, else embedded
    open_scorer("detoxify:unbiased")       see `detoxify`
    open_scorer("hf:./folder#label")       any sequence classifier, see `hf_classifier`
    open_scorer("vader")                   see `vader`
    open_scorer("my_scorer:score")         a function of your own, see `user_scorer`

The embedded scorer is `alt-profanity-check`: a linear model over character and word counts, trained on 200 k
labelled comments. It needs no download and scores some 100 k texts a second; it knows words, not meaning, which is
why every result names the scorer that made it. How to get the others is told in docs/scorers.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol

import numpy as np

from fasp_core.access import is_own_scorer
from fasp_core.errors import InputError, another_scorer, nearest

SLOW_STEP = 5  # tokens; a neural scorer then rates four prefixes beside a text of 20 tokens


class Scorer(Protocol):
    """What a scorer has to offer.

    `name` is part of file names: letters, digits, `_` and `-`. `ref` opens it again (see `open_scorer`). `fingerprint`
    changes whenever its scores could.
    """

    name: str
    ref: str
    fingerprint: str

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """The toxicity of each text, float64 in [0, 1]."""
        ...


@dataclass(frozen=True)
class ScorerStatus:
    """One scorer as `python -m fasp_core scorers` lists it; `hint` says how to get it, "" where it is there."""

    ref: str
    about: str
    hint: str = ""

    @property
    def available(self) -> bool:
        """Whether it can be opened on this machine."""
        return not self.hint


class EmbeddedScorer:
    """The linear scorer of the package `alt-profanity-check`."""

    name = ref = "embedded"

    def __init__(self) -> None:
        self.fingerprint = f"alt-profanity-check-{version('alt-profanity-check')}"

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """The model's probability that a text is toxic, float64 (n,)."""
        from profanity_check import predict_prob

        return np.asarray(predict_prob(list(texts)), dtype=np.float64) if len(texts) else np.empty(0)


def open_scorer(ref: str | None = None, *, device: str = "auto") -> Scorer:
    """The scorer of this reference; None opens the default. `device` is where a neural one computes.

    Raises InputError for one that is unknown, or whose weights are not on this machine, and says how to get them.
    """
    ref = default_scorer() if ref is None else ref
    kind, colon, rest = ref.partition(":")
    if kind == "detoxify":
        from fasp_core.toxicity.detoxify import open_detoxify

        return open_detoxify(rest or "unbiased", device=device)
    if kind == "hf" and colon:
        from fasp_core.toxicity.hf_classifier import open_hf

        return open_hf(rest, device=device)
    if is_own_scorer(ref):
        from fasp_core.toxicity.user_scorer import UserScorer

        return UserScorer(ref)
    if ref not in _simple():
        raise InputError(f"unknown scorer '{ref}'; {nearest(ref, scorer_names())}, or module:function of your own")
    return _simple()[ref]()


def default_scorer() -> str:
    """Detoxify's `unbiased`, the published recipe's scorer, where it is on this machine, else the embedded one."""
    from fasp_core.toxicity.detoxify import how_to_get

    return "embedded" if how_to_get("unbiased") else "detoxify:unbiased"


def reopen_scorer(name: str, ref: str, fingerprint: str | None, *, study: str, device: str = "auto") -> Scorer:
    """The scorer that a study was scored with, from its record there (`StudyFolder.scorer_record`).

    Raises InputError where `ref` no longer opens the scorer that made the study's numbers: fresh numbers must not be
    mixed with those of another. `fingerprint` is None where it has made none yet.
    """
    if is_own_scorer(ref):
        from fasp_core.toxicity.user_scorer import UserScorer

        return UserScorer(ref, expected=fingerprint)  # checked before any of its code runs
    scorer = open_scorer(ref, device=device)
    if fingerprint not in (None, scorer.fingerprint):
        raise InputError(another_scorer(study, name, fingerprint, scorer.fingerprint))
    return scorer


def list_scorers() -> list[ScorerStatus]:
    """Every scorer there is, with what it needs on this machine to be opened; nothing is loaded or downloaded."""
    from fasp_core.toxicity.detoxify import ABOUT, how_to_get

    return [
        ScorerStatus("embedded", "linear model of words, alt-profanity-check; fast, knows no context"),
        *(ScorerStatus(f"detoxify:{name}", about, how_to_get(name)) for name, about in ABOUT.items()),
        ScorerStatus("detoxify:PATH", "a Detoxify checkpoint file of your own (.ckpt)"),
        ScorerStatus(
            "hf:FOLDER_OR_ID#LABEL", "a label of any sequence classifier of transformers: toxicity, hate, regard, …"
        ),
        ScorerStatus("vader", "share of negative words, by VADER's sentiment lexicon"),
        ScorerStatus(
            "MODULE:FUNCTION", "a function in a .py file of the working directory: texts to numbers in [0, 1]"
        ),
    ]


def scorer_names() -> list[str]:
    """The references that need no path."""
    return [status.ref for status in list_scorers() if status.ref.islower()]


def prefix_step(scorer: Scorer) -> int:
    """After how many tokens each the prefixes of a text are rated: all of them where that costs next to nothing."""
    return 1 if scorer.ref in _simple() else SLOW_STEP


def score_texts(scorer: Scorer, texts: Sequence[str]) -> np.ndarray:
    """The scorer's toxicities, checked: raises InputError naming the first text that got no number in [0, 1]."""
    given = scorer.score(texts)
    try:
        scores = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"scorer '{scorer.name}' gave no list of numbers but {type(given).__name__}; toxicity is a number in [0, 1]"
        ) from error
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


def _simple() -> dict[str, Callable[[], Scorer]]:
    from fasp_core.toxicity.vader import VaderScorer

    return {"embedded": EmbeddedScorer, "vader": VaderScorer}
