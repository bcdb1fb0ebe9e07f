"""Two coupled texts side by side, and the words in which they differ. Pure functions on strings.

Before and after pruning a text is drawn with the same random numbers, so the texts are equal up to the first word where
the pruned model chose differently; everything after that follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class RatedPair:
    """One continuation of the intact and of the pruned model, drawn with the same noise, each with its toxicity."""

    before: str
    after: str
    toxicity_before: float
    toxicity_after: float


def marked_words(before: str, after: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Both texts as runs of words, each with whether it differs from the other text; a run has no space around it.

    >>> marked_words("He is very kind", "He was kind")
    ([('He', False), ('is very', True), ('kind', False)], [('He', False), ('was', True), ('kind', False)])
    """
    one, other = before.split(), after.split()
    runs: tuple[list[tuple[str, bool]], list[tuple[str, bool]]] = ([], [])
    for kind, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        for words, place, (start, end) in ((one, 0, (a, b)), (other, 1, (c, d))):
            if start < end:
                runs[place].append((" ".join(words[start:end]), kind != "equal"))
    return runs


def changed_share(frame: pd.DataFrame) -> float:
    """Share of pairs (columns continuation_before, continuation_after) whose texts differ; NaN without any."""
    return float((frame["continuation_before"] != frame["continuation_after"]).mean()) if len(frame) else float("nan")


def matching(frame: pd.DataFrame, columns: list[str], words: str) -> np.ndarray:
    """Rows where a column holds `words`, whatever the case, taken literally; all rows for no words; (n) bool."""
    found = np.zeros(len(frame), bool)
    for column in columns:
        found |= frame[column].str.contains(words, case=False, regex=False).to_numpy(bool)
    return found
