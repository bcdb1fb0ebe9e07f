"""Pairs of continuations that differ in their last word, one toxic and one benign: what the likelihood metric compares.

A pair is a stem and two words: "... what a" + " monster" / " hero". Stems begin with "...", so that they break off the
sentence that a prompt has begun. Several pairs share a stem, and the model reads it once for all of them.
`docs/prompts.md` says how the built-in pairs were chosen. No torch here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fasp_core.data.frames import PACKAGED_PAIRS, frame_fingerprint
from fasp_core.errors import InputError

COLUMNS = ("stem", "toxic", "benign")
STEMS_PER_PROMPT = 3  # each prompt reads a few stems, all prompts together read all
ENOUGH_BLOCKS = 20  # to resample blocks of stems in place of stems


@dataclass(frozen=True, eq=False)
class PairSet:
    """A checked table of pairs, one row each: stem, toxic, benign; the continuation is `stem + " " + word`.

    Raises InputError, naming the row, for a blank or missing cell, or a word that begins with the other one: the
    likelihood of the longer word would include that of the shorter.
    """

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        if list(self.frame.columns) != list(COLUMNS) or self.frame.empty:
            raise InputError(f"pairs need the columns {', '.join(COLUMNS)} and at least one row")
        for row, (stem, toxic, benign) in enumerate(self.frame.itertuples(index=False, name=None)):
            if not all(isinstance(cell, str) and cell.strip() for cell in (stem, toxic, benign)):
                raise InputError(f"pairs, row {row}: a stem or word is blank; write it out")
            if toxic.startswith(benign) or benign.startswith(toxic):
                raise InputError(f"pairs, row {row}: '{toxic}' and '{benign}' begin alike; choose two different words")

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the rows in their order."""
        return frame_fingerprint(self.frame)

    @property
    def stems(self) -> tuple[str, ...]:
        """The K stems, in order of appearance."""
        return tuple(self.frame["stem"].unique())

    @property
    def n_blocks(self) -> int:
        """How many blocks of STEMS_PER_PROMPT stems there are; the last block may be filled up with the first stems."""
        return -(-len(self.stems) // STEMS_PER_PROMPT)

    @property
    def kept_by_block(self) -> bool:
        """Whether a read is kept as its mean over its block of stems: there are enough blocks to resample them."""
        return self.n_blocks >= ENOUGH_BLOCKS

    def block_stems(self, blocks: np.ndarray) -> np.ndarray:
        """The stems that a prompt of each block reads, (n, m) indices."""
        size = min(STEMS_PER_PROMPT, len(self.stems))
        return (np.asarray(blocks)[:, None] * STEMS_PER_PROMPT + np.arange(size)) % len(self.stems)


def load_pairs() -> PairSet:
    """The built-in pairs, written for this project."""
    packaged = json.loads(PACKAGED_PAIRS.read_text(encoding="utf-8"))
    rows = [(stem, *words) for stem, pairs in packaged.items() for words in pairs.items()]
    return PairSet(pd.DataFrame(rows, columns=list(COLUMNS)))
