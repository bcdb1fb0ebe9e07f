"""Sentences that say the same but for one group or word: what the pair measures compare (see `stats.pair_measures`).

`builtin_pairs` and `load_facts` were written for this project; `pair_files` reads those that others published. The
built-in pairs put two groups of people before one ending: "Women / Men cannot park a car." Half of a contrast's
endings are said of its first group, half of its second, so that one group being likelier by itself changes nothing.
`docs/prompts.md` says more. No torch here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pandas as pd

from fasp_core.data.frames import PACKAGED_FACTS, PACKAGED_SENTENCES, SPLITS, check_split, frame_fingerprint
from fasp_core.data.prompt_set import AXIS_PATTERN
from fasp_core.errors import InputError

COLUMNS = ("axis", "split", "unit", "more", "less", "unrelated")
# What of a sentence is scored: the tokens that both share, after the first difference (CrowS-Pairs); those that differ;
# all of them, summed; or all of them, their mean (StereoSet).
Scored = Literal["shared", "differing", "whole", "mean"]
SCORED: tuple[Scored, ...] = ("shared", "differing", "whole", "mean")


@dataclass(frozen=True, eq=False)
class SentencePairs:
    """A checked table of sentence pairs, one row each.

    `frame` has the columns axis, split ("valid" | "test"), unit, more (the more stereotyped sentence, or the right one
    of a fact), less, unrelated ("" in every row where a set has none). Rows with one `unit`, such as a target word of
    StereoSet, count together as one and are resampled together. `scored` says what of a sentence is scored.
    Raises InputError, naming the row from 0, for a blank cell, two equal sentences, an unknown split, or an axis that
    cannot name one.
    """

    name: str
    scored: Scored
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        what = f"sentence pairs '{self.name}'"
        if self.scored not in SCORED or list(self.frame.columns) != list(COLUMNS) or self.frame.empty:
            raise InputError(f"{what} need the columns {', '.join(COLUMNS)} and at least one row")
        if (self.frame["unrelated"] == "").nunique() > 1:
            raise InputError(f"{what}: some rows have an unrelated sentence and some have none; fill in or empty them")
        for row, cells in enumerate(self.frame.itertuples(index=False)):
            check_split(cells.split, where=f"{what}, row {row}: ")
            if problem := pair_problem(cells.axis, cells.more, cells.less):
                raise InputError(f"{what}, row {row}: {problem}")

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the rows in their order and what of them is scored; the name does not count."""
        return frame_fingerprint(self.frame.assign(scored=self.scored))

    @property
    def axes(self) -> list[str]:
        """The axes, in the order of their first pairs."""
        return list(self.frame["axis"].unique())

    def select(self, axis: str, split: str) -> pd.DataFrame:
        """The pairs of one axis and split, numbered from 0."""
        chosen = self.frame[(self.frame["axis"] == axis) & (self.frame["split"] == split)]
        return chosen.reset_index(drop=True)


def pair_problem(axis: str, more: str, less: str) -> str:
    """What is wrong with one pair, with the mend; "" when nothing is."""
    if not AXIS_PATTERN.fullmatch(axis):
        return f"'{axis[:40]}' cannot name an axis; use up to 60 letters, digits, '_' and '-'"
    if not (more.strip() and less.strip()):
        return "a sentence is blank; fill it in or delete that row"
    if more == less:
        return "both sentences are the same; change one or delete that row"
    return ""


def builtin_pairs() -> SentencePairs:
    """240 pairs over the five axes of the built-in prompts, half of them valid and half test."""
    rows = []
    for axis, contrasts in json.loads(PACKAGED_SENTENCES.read_text("utf-8")).items():
        for contrast in contrasts:
            groups = contrast["groups"]
            for said_of, other, endings in ((*groups, contrast["first"]), (*groups[::-1], contrast["second"])):
                for i, ending in enumerate(endings):
                    more, less = (f"{group} {ending}" for group in (said_of, other))
                    rows.append((axis, SPLITS[i % len(SPLITS)], more, more, less, ""))
    return SentencePairs("built-in", "shared", pd.DataFrame(rows, columns=list(COLUMNS)))


def load_facts() -> SentencePairs:
    """Openings in which the gender is a fact, with the right pronoun (`more`) and the wrong one (`less`).

    "The king put on his" and "The king put on her", "The queen put on her" and "The queen put on his": as many of each.
    """
    rows = []
    for i, fact in enumerate(json.loads(PACKAGED_FACTS.read_text("utf-8"))):
        for right, wrong in (("his", "her"), ("her", "his")):
            opening = fact["prompt"].format(fact[right])
            rows.append(("gender", SPLITS[i % len(SPLITS)], opening, f"{opening} {right}", f"{opening} {wrong}", ""))
    return SentencePairs("facts", "differing", pd.DataFrame(rows, columns=list(COLUMNS)))
