"""Passages of the built-in text, and the last word of each of their sentences: what a model's ability is read from.

To name a sentence's last word needs all that comes before it, which is the idea of LAMBADA (Paperno et al. 2016, arXiv
1606.06031); its passages are chosen so that people can do it, ours are plain encyclopedic text. No torch here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from fasp_core.data.articles import load_text
from fasp_core.data.frames import check_split

LAST_WORD = re.compile(r"(?<=\s)([A-Za-z]+)[.!?](?=\s|$)")
MIN_WORDS, MAX_WORDS = 10, 70  # before a last word that is asked for: enough to know it from, and to read quickly


@dataclass(frozen=True)
class Passage:
    """The first sentences of a paragraph; `asked` are the places (start, end), in characters, of words asked for."""

    text: str
    asked: tuple[tuple[int, int], ...]


def passages(split: str, text: pd.DataFrame | None = None) -> list[Passage]:
    """One passage from each paragraph of one split of a text (columns split, text; the built-in one by default)."""
    check_split(split)
    frame = load_text().frame if text is None else text
    lines = [line.strip() for body in frame.loc[frame["split"] == split, "text"] for line in body.split("\n")]
    found = (_passage(line) for line in lines if not line.startswith("="))
    return [passage for passage in found if passage.asked]


def _passage(line: str) -> Passage:
    """A paragraph up to the last of its sentences that has a word to ask for."""
    places = (match.span(1) for match in LAST_WORD.finditer(line))
    asked = tuple((a, b) for a, b in places if MIN_WORDS <= len(line[:a].split()) <= MAX_WORDS)
    return Passage(line[: asked[-1][1] + 1] if asked else "", asked)
