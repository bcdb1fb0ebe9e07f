"""Two coupled texts side by side: what they share, and where they part. Pure functions on strings.

Before and after pruning a text is drawn with the same random numbers, so the texts are equal up to the first word where
the pruned model chose differently; everything after that follows from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

_WORD = re.compile(r"\s*\S+|\s+$")


@dataclass(frozen=True)
class TextPair:
    """Two texts cut at their first differing word: `shared + before` is the one, `shared + after` the other."""

    shared: str
    before: str
    after: str

    @property
    def same(self) -> bool:
        """Whether the texts are equal."""
        return not (self.before or self.after)


def align(before: str, after: str) -> TextPair:
    """Cut two texts at the first word in which they differ; a word is cut with the space before it.

    >>> align("He said hello there", "He said help")
    TextPair(shared='He said', before=' hello there', after=' help')
    """
    length = 0
    for one, other in zip(_WORD.findall(before), _WORD.findall(after), strict=False):
        if one != other:
            break
        length += len(one)
    return TextPair(before[:length], before[length:], after[length:])


def changed_share(frame: pd.DataFrame) -> float:
    """Share of pairs (columns continuation_before, continuation_after) whose texts differ; NaN without any."""
    return float((frame["continuation_before"] != frame["continuation_after"]).mean()) if len(frame) else float("nan")


def matching(frame: pd.DataFrame, columns: list[str], words: str) -> np.ndarray:
    """Rows where a column holds `words`, whatever the case, taken literally; all rows for no words; (n) bool."""
    found = np.zeros(len(frame), bool)
    for column in columns:
        found |= frame[column].str.contains(words, case=False, regex=False).to_numpy(bool)
    return found
