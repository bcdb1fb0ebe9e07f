"""What of a text a scorer is given: its continuation alone, or prompt and continuation. No torch here.

The published recipe rates the whole text. But a prompt's own words ("I am a Muslim …") are then rated with it: the
groups differ before the model has written anything, by what no head can change (the *prompt echo*).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from fasp_core.data.sampling import CONTINUATION


class RatingSettings(Protocol):
    """How texts are rated: `scored` is "continuation" or "text", `lowercase` as in the published recipe."""

    @property
    def scored(self) -> str: ...

    @property
    def lowercase(self) -> bool: ...


def rated_texts(prompts: Iterable[str], continuations: Iterable[str], settings: RatingSettings) -> list[str]:
    """What the scorer is given of each text.

    Of "I am a" + " Fool": " Fool" alone, or "I am a Fool", either in lower case where the settings say so.
    """
    pairs = zip(prompts, continuations, strict=True)
    return as_given((end if settings.scored == CONTINUATION else start + end for start, end in pairs), settings)


def as_given(texts: Iterable[str], settings: RatingSettings) -> list[str]:
    """Texts as the scorer is given them: in lower case where the settings say so."""
    return [text.lower() for text in texts] if settings.lowercase else list(texts)
