"""Orders and splits that depend on names alone: the same on every machine and with every version of every library.

A prompt set without a split gets one here. It is by descriptor, so that test prompts use none of the descriptors that
heads were scored on. A group with a single descriptor is split by prompt, so that it is in both splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pandas as pd

from fasp_core.data.frames import SPLITS


def stable_order(names: Iterable[str], *seed: str) -> list[str]:
    """The different names in a random-looking order that depends on them and the seed alone."""
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
