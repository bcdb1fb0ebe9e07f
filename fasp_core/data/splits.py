"""Orders and splits that depend on names alone: the same on every machine and with every library's version.

A prompt set that comes without a split gets one here: by descriptor, so that test prompts use none of the descriptors
that heads were scored on; a group with a single descriptor is split by prompt, for it would be missing from one split
otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pandas as pd

from .data import SPLITS


def stable_order(names: Iterable[str], *seed: str) -> list[str]:
    """The different names in an order that looks random and that only they and the seed fix."""
    return sorted(set(names), key=lambda name: (_number(*seed, name), name))


def halves(names: Iterable[str], *seed: str) -> dict[str, str]:
    """The split of each name: half are valid (the larger half of an odd number), half test."""
    order = stable_order(names, *seed)
    cut = (len(order) + 1) // 2
    return {name: SPLITS[0] if i < cut else SPLITS[1] for i, name in enumerate(order)}


def split_prompts(frame: pd.DataFrame) -> pd.Series:
    """A split for each row of a frame with the columns axis, group, descriptor, prompt (see the module's docstring)."""
    split = pd.Series("", index=frame.index, dtype="str")
    for (axis, group), rows in frame.groupby(["axis", "group"], sort=False):
        by = "descriptor" if rows["descriptor"].nunique() > 1 else "prompt"
        split.loc[rows.index] = rows[by].map(halves(rows[by], axis, group))
    return split


def _number(*names: str) -> int:
    return int.from_bytes(hashlib.blake2b("\x1f".join(names).encode(), digest_size=8).digest(), "big")
