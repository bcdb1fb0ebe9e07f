"""Prompts whose continuations are scored for toxicity: openings of sentences, each about one group of one axis.

A prompt is a template ("I met {singular} at the station, and") filled with a descriptor ("a grandmother"), and every
descriptor belongs to a group of an axis (words as in HolisticBias). Prompts are split by descriptor: heads are
scored on `valid`, claims are made on `test`.

    load_prompts().select(axes=["religion"], split="valid").frame
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from .data import PACKAGED_PROMPTS, check_split, checked_frame, frame_fingerprint
from .errors import InputError, nearest

COLUMNS = {
    "prompt_id": int, "axis": str, "group": str, "descriptor": str, "template": str, "prompt": str, "split": str,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class PromptSet:
    """A checked table of prompts; `frame` holds one row per prompt, with the columns of `COLUMNS`.

    `prompt_id` names a prompt within the set it was loaded with, and stays when part of the set is selected.
    Raises InputError, naming the row, for a frame that is not a prompt set (see `checked_frame`), a repeated id, a
    prompt twice in one group, or an axis with fewer than two groups, whose bias would be 0 by definition.
    """

    name: str
    frame: pd.DataFrame

    def __post_init__(self) -> None:
        what = f"prompt set '{self.name}'"
        frame = checked_frame(self.frame, COLUMNS, what=what)
        _refuse_repeats(frame, ["prompt_id"], what)
        _refuse_repeats(frame, ["axis", "group", "prompt"], what)
        for axis, groups in frame.groupby("axis", sort=False)["group"]:
            if groups.nunique() < 2:
                raise InputError(
                    f"{what}, row {groups.index[0]}: axis '{axis}' has the one group '{groups.iloc[0]}'; "
                    "bias compares at least two"
                )
        object.__setattr__(self, "frame", frame)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the rows in their order; the name does not count."""
        return frame_fingerprint(self.frame)

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes, in order of appearance."""
        return tuple(self.frame["axis"].unique())

    def select(self, axes: str | Iterable[str] | None = None, split: str | None = None) -> PromptSet:
        """The prompts of some axes and of one split, in their order and with their ids; None takes all.

        Raises InputError for an unknown axis or split, or where nothing (or a single group of an axis) is left.
        """
        wanted = pd.Series(True, index=self.frame.index)
        if axes is not None:
            names = [axes] if isinstance(axes, str) else list(axes)
            for axis in names:
                self._check_axis(axis)
            wanted &= self.frame["axis"].isin(names)
        if split is not None:
            check_split(split)
            wanted &= self.frame["split"] == split
        if not wanted.any():
            raise InputError(f"prompt set '{self.name}' has no{f' {split}' if split else ''} prompts of these axes")
        return PromptSet(self.name, self.frame[wanted])

    def group_shares(self, axis: str) -> pd.Series:
        """π_g of the paper: each group's share of the axis's prompts in this set, indexed by group; they sum to 1.

        30 prompts about one group and 10 about another have shares 0.75 and 0.25.
        Raises InputError for an unknown axis.
        """
        self._check_axis(axis)
        groups = self.frame.loc[self.frame["axis"] == axis, "group"]
        return groups.value_counts(normalize=True, sort=False).rename("share")

    def counts(self) -> pd.DataFrame:
        """How many `prompts` and different `descriptors` each axis, group and split has, one row per combination."""
        rows = self.frame.groupby(["axis", "group", "split"], sort=False)
        return rows.agg(prompts=("prompt", "size"), descriptors=("descriptor", "nunique")).reset_index()

    def _check_axis(self, axis: str) -> None:
        if axis not in self.axes:
            raise InputError(f"unknown axis '{axis}'; {nearest(axis, self.axes)}")


def _refuse_repeats(frame: pd.DataFrame, columns: list[str], what: str) -> None:
    repeated = frame.duplicated(columns)
    if repeated.any():
        row = int(repeated.idxmax())
        value = frame.at[row, columns[-1]]
        raise InputError(f"{what}, row {row}: the {columns[-1]} '{value}' repeats an earlier row; remove one of them")


def load_prompts(source: str = "builtin") -> PromptSet:
    """The prompt set of this source: "builtin", written for this project (docs/prompts.md).

    Raises InputError for an unknown source.
    """
    if source not in SOURCES:
        raise InputError(f"unknown prompts '{source}'; {nearest(source, SOURCES)}")
    return SOURCES[source]()


def _builtin() -> PromptSet:
    """Every template filled with every descriptor; ids count from 0 in the order of the packaged file."""
    packaged = json.loads(PACKAGED_PROMPTS.read_text(encoding="utf-8"))
    rows = [
        (axis, group, plural, template, template.format(singular=singular, plural=plural), split)
        for axis, groups in packaged["axes"].items()
        for group, splits in groups.items()
        for split, descriptors in splits.items()
        for singular, plural in descriptors.items()
        for template in packaged["templates"]
    ]
    return PromptSet("builtin", pd.DataFrame([(i, *row) for i, row in enumerate(rows)], columns=list(COLUMNS)))


SOURCES = {"builtin": _builtin}
