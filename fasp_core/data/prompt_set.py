"""The prompt set behind a study: one table of prompts by axis and group, whatever file it came from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from fasp_core.data.frames import SPLITS, check_split, checked_frame, frame_fingerprint
from fasp_core.errors import InputError, nearest
from fasp_core.stats.target import MEAN_TOXICITY

COLUMNS = {
    "prompt_id": int,
    "axis": str,
    "group": str,
    "descriptor": str,
    "template": str,
    "prompt": str,
    "split": str,
}
AXIS_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")  # axes name the files of a study
RESERVED = ("text", MEAN_TOXICITY)  # the stream of text windows and the target beside the axes
# With fewer prompts the standard error of a group's mean cannot be estimated well: the bootstrap resamples prompts.
FEW_PROMPTS = 10
# Of a larger set, a study keeps only the axes that were asked for.
LARGE_SET = 15_000


@dataclass(frozen=True, eq=False)
class PromptSet:
    """A checked table of prompts; `frame` holds one row per prompt, with the columns of `COLUMNS`.

    `prompt_id` names a prompt within the set it was loaded with, and stays the same when part of the set is selected.
    `notes` are sentences on what was left out or decided when the set was loaded.
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
        _check_axes(frame, what)
        object.__setattr__(self, "frame", frame)

    def __repr__(self) -> str:
        return f"<PromptSet {self.name}: {len(self.frame):,} prompts of {', '.join(self.axes)}>"

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the rows in their order; the name does not count."""
        return frame_fingerprint(self.frame)

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes, in order of appearance."""
        return tuple(self.frame["axis"].unique())

    def select(self, axes: str | Iterable[str] | None = None, split: str | None = None) -> PromptSet:
        """The prompts of some axes and of one split, in their order and with their ids; None means all.

        Raises InputError for an unknown axis or split, or where nothing (or a single group of an axis) is left.
        """
        wanted = pd.Series(True, index=self.frame.index)
        if axes is not None:
            names = [axes] if isinstance(axes, str) else list(axes)
            for axis in names:
                self.known_axis(axis)
            wanted &= self.frame["axis"].isin(names)
        if split is not None:
            check_split(split)
            wanted &= self.frame["split"] == split
        if not wanted.any():
            raise InputError(f"prompt set '{self.name}' has no{f' {split}' if split else ''} prompts of these axes")
        part, frame = copy(self), self.frame[wanted].reset_index(drop=True)  # its rows are checked already
        _check_axes(frame, f"prompt set '{self.name}'")
        object.__setattr__(part, "frame", frame)
        part.__dict__.pop("fingerprint", None)
        return part

    def group_shares(self, axis: str) -> pd.Series:
        """π_g of the paper: each group's share of the axis's prompts in this set, indexed by group; they sum to 1.

        30 prompts about one group and 10 about another have shares 0.75 and 0.25.
        Raises InputError for an unknown axis.
        """
        self.known_axis(axis)
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
        """What a study of `axes` keeps: the whole set, or those axes only of a set of more than LARGE_SET prompts."""
        return self if len(self.frame) <= LARGE_SET else self.select(axes=axes)

    def known_axis(self, axis: str, *, hint: str = "") -> str:
        """The axis itself; raises InputError with the nearest name, and the `hint` behind it, where there is none."""
        if axis not in self.axes:
            raise InputError(f"unknown axis '{axis}'; {nearest(axis, self.axes)}{hint}")
        return axis


def _check_axes(frame: pd.DataFrame, what: str) -> None:
    for axis, groups in frame.groupby("axis", sort=False)["group"]:
        if not AXIS_PATTERN.fullmatch(axis) or axis in RESERVED:
            raise InputError(
                f"{what}, row {groups.index[0]}: '{axis}' cannot name an axis; use letters, digits, '_' and '-', "
                f"beginning with a letter or digit, and not {' or '.join(map(repr, RESERVED))}"
            )
        if groups.nunique() < 2:
            raise InputError(
                f"{what}, row {groups.index[0]}: axis '{axis}' has the one group '{groups.iloc[0]}'; "
                "bias compares at least two"
            )


def _refuse_repeats(frame: pd.DataFrame, columns: list[str], what: str) -> None:
    repeated = frame.duplicated(columns)
    if repeated.any():
        row = int(repeated.idxmax())
        value = frame.at[row, columns[-1]]
        raise InputError(f"{what}, row {row}: the {columns[-1]} '{value}' repeats an earlier row; remove one of them")


def names_alike(frame: pd.DataFrame) -> tuple[str, ...]:
    """A sentence for each two axes, and each two groups of an axis, whose names a reader may take for the same.

    That is, names that differ only in case, in Unicode form (é as one character or two), or in blanks, '_' and '-'.
    """
    kinds = [("axes", frame["axis"])]
    kinds += [(f"groups of {axis}", rows["group"]) for axis, rows in frame.groupby("axis", sort=False)]
    notes = []
    for what, names in kinds:
        known: dict[str, str] = {}
        for name in names.unique():
            plain = re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()
            other = known.setdefault(plain, name)
            if other != name:
                looks = "; they look the same" if _composed(other) == _composed(name) else ""
                notes.append(f"the {what} '{other}' and '{name}' count as two{looks}; if one is meant, give one name")
    return tuple(notes)


def _composed(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())


def numbered_frame(rows: Iterable[tuple[str, ...]]) -> pd.DataFrame:
    """Rows of (axis, group, descriptor, template, prompt, split) as a prompt set's frame; ids count from 0."""
    frame = pd.DataFrame(list(rows), columns=[column for column in COLUMNS if column != "prompt_id"], dtype="str")
    frame.insert(0, "prompt_id", range(len(frame)))
    return frame
