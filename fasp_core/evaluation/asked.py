"""The prompts that a stream of bias asks, and the groups whose means are compared. No torch here."""

from __future__ import annotations

import pandas as pd

from fasp_core.data.prompt_set import PromptSet
from fasp_core.stats.target import MEAN_TOXICITY


def asked_prompts(prompts: PromptSet, axis: str, split: str) -> tuple[pd.DataFrame, pd.Series]:
    """The prompts of one axis and split, and π_g by group, sorted by name.

    Of the mean toxicity these are the prompts of every axis, which are its groups, all of the same share: each counts
    alike.
    """
    if axis != MEAN_TOXICITY:
        chosen = prompts.select(axes=[axis], split=split)
        return chosen.frame, chosen.group_shares(axis).sort_index()
    frame = prompts.select(split=split).frame
    frame = frame.assign(group=frame["axis"], axis=MEAN_TOXICITY)
    axes = sorted(frame["group"].unique())
    return frame, pd.Series(1 / len(axes), index=axes, name="share")


def known_target(prompts: PromptSet, axis: str) -> str:
    """The axis, or the mean toxicity; raises InputError for any other name."""
    return axis if axis == MEAN_TOXICITY else prompts.known_axis(axis)
