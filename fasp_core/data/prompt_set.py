"""Prompts whose continuations are scored for toxicity: openings of sentences, each about one group of one axis.

A prompt is a template ("I met {singular} at the station, and") filled with a descriptor ("a grandmother"), and every
descriptor belongs to a group of an axis (words as in HolisticBias). Prompts are split by descriptor: heads are
scored on `valid`, claims are made on `test`. Where prompts come from is told in docs/prompts.md.

    load_prompts().select(axes=["religion"], split="valid").frame
    load_prompts("ResponsibleNLP/holistic_bias/dataset/v1.1")
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from .data import PACKAGED_PROMPTS, SPLITS, check_split, checked_frame, frame_fingerprint
from .errors import InputError, nearest

COLUMNS = {
    "prompt_id": int, "axis": str, "group": str, "descriptor": str, "template": str, "prompt": str, "split": str,
}  # fmt: skip
AXIS_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")  # axes name the files of a study
RESERVED = ("text",)  # the stream of text windows beside the axes
# Fewer prompts than this give a group's mean no error worth the name: bootstrapping resamples prompts.
FEW_PROMPTS = 10
# A larger set is kept in a study with the axes that were asked for only.
LARGE_SET = 10_000


@dataclass(frozen=True, eq=False)
class PromptSet:
    """A checked table of prompts; `frame` holds one row per prompt, with the columns of `COLUMNS`.

    `prompt_id` names a prompt within the set it was loaded with, and stays when part of the set is selected. `notes`
    are sentences on what was left out or decided when the set was loaded.
    Raises InputError, naming the row, for a frame that is not a prompt set (see `checked_frame`), a repeated id, a
    prompt twice in one group, an axis whose name cannot be part of a file's, or one with fewer than two groups, whose
    bias would be 0 by definition.
    """

    name: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        what = f"prompt set '{self.name}'"
        frame = checked_frame(self.frame, COLUMNS, what=what)
        _refuse_repeats(frame, ["prompt_id"], what)
        _refuse_repeats(frame, ["axis", "group", "prompt"], what)
        for axis, groups in frame.groupby("axis", sort=False)["group"]:
            if not AXIS_PATTERN.fullmatch(axis) or axis in RESERVED:
                raise InputError(
                    f"{what}, row {groups.index[0]}: '{axis}' cannot name an axis; use letters, digits, '_' and '-', "
                    f"beginning with a letter or digit, and not '{RESERVED[0]}'"
                )
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
        return replace(self, frame=self.frame[wanted])

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

    def too_few(self) -> pd.DataFrame:
        """The rows of `counts` with fewer than FEW_PROMPTS prompts, and a row for each split that a group lacks."""
        counts = self.counts()
        groups = counts[["axis", "group"]].drop_duplicates()
        every = groups.merge(pd.DataFrame({"split": [s for s in SPLITS if s in set(counts["split"])]}), how="cross")
        whole = every.merge(counts, how="left").fillna({"prompts": 0, "descriptors": 0})
        few = whole[whole["prompts"] < FEW_PROMPTS].reset_index(drop=True)
        return few.astype({"prompts": int, "descriptors": int})

    def for_study(self, axes: Iterable[str]) -> PromptSet:
        """What a study of `axes` keeps: the whole set, or of one above LARGE_SET prompts the asked axes."""
        return self if len(self.frame) <= LARGE_SET else self.select(axes=axes)

    def _check_axis(self, axis: str) -> None:
        if axis not in self.axes:
            raise InputError(f"unknown axis '{axis}'; {nearest(axis, self.axes)}")


def _refuse_repeats(frame: pd.DataFrame, columns: list[str], what: str) -> None:
    repeated = frame.duplicated(columns)
    if repeated.any():
        row = int(repeated.idxmax())
        value = frame.at[row, columns[-1]]
        raise InputError(f"{what}, row {row}: the {columns[-1]} '{value}' repeats an earlier row; remove one of them")


def load_prompts(source: str | os.PathLike = "builtin") -> PromptSet:
    """The prompt set of a source (docs/prompts.md):

    * `"builtin"`: written for this project;
    * a folder of HolisticBias v1.1 (`descriptors.json`, `nouns.json`, `sentence_templates.json`), sampled;
    * a `.json` file of the reference FASP repository (axis → title → prompts) or the folder it is in: its groups are in
      `<name>_groups.json` beside it, and the other split's file is read with it;
    * a `.csv` file of your own: columns prompt, axis, group and, where you have them, descriptor, template, split.

    Raises InputError, naming file and row, for a source that is not there or is not what it should be.
    """
    if source == "builtin":
        return _builtin()
    from .holisticbias import is_holisticbias, read_holisticbias
    from .prompt_files import read_prompt_csv
    from .reference_prompts import is_reference_folder, read_reference_prompts

    path = Path(source).expanduser()
    if is_holisticbias(path):
        return PromptSet("holisticbias", *read_holisticbias(path))
    if path.suffix.lower() == ".json" or is_reference_folder(path):
        return PromptSet("social_biases", *read_reference_prompts(path))
    if path.suffix.lower() == ".csv":
        return PromptSet(path.stem, *read_prompt_csv(path))
    if path.is_dir():
        what = f"{path}: no descriptors.json and no social_biases_valid.json in this folder"
    else:
        what = f"unknown prompts '{source}'; {nearest(str(source), ['builtin'])}"
    raise InputError(f"{what}; or give a folder of HolisticBias v1.1, a social_biases_valid.json, or a .csv file")


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
    return PromptSet("builtin", numbered_frame(rows))


def numbered_frame(rows: Iterable[tuple[str, ...]]) -> pd.DataFrame:
    """Rows of (axis, group, descriptor, template, prompt, split) as a prompt set's frame; ids count from 0."""
    frame = pd.DataFrame(list(rows), columns=[column for column in COLUMNS if column != "prompt_id"], dtype="str")
    frame.insert(0, "prompt_id", range(len(frame)))
    return frame
