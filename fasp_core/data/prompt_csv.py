"""A user's own prompts: a CSV with the columns prompt, axis, group and, if wanted, descriptor, template, split.

Without descriptors, each prompt is its own descriptor; without splits, they are made (see `splits`). Other columns are
ignored.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fasp_core.data.frames import SPLITS
from fasp_core.data.prompt_set import AXIS_PATTERN, RESERVED, numbered_frame
from fasp_core.data.splits import split_prompts
from fasp_core.errors import InputError, nearest
from fasp_core.files.csv_files import open_csv

REQUIRED = ("prompt", "axis", "group")
OPTIONAL = ("descriptor", "template", "split")
NO_TEMPLATE = "as given"


def read_prompt_csv(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The prompts of a CSV, as a prompt set's frame, and what was decided.

    Raises InputError, naming file and row, for a missing column, a blank or repeated prompt, an axis whose name cannot
    be part of a file's or that has one group, a split that is neither valid nor test.
    """
    file = open_csv(path)
    frame = file.columns(REQUIRED, optional=OPTIONAL)
    for column in frame.columns:
        if column != "prompt":  # leading and trailing blanks are part of a prompt
            frame[column] = frame[column].str.strip()
        blank = np.flatnonzero(frame[column].str.strip() == "")
        if blank.size:
            raise InputError(f"{path}, row {blank[0] + 2}: '{column}' is blank; fill it in or delete that row")
    _check(frame, path)
    notes = [*file.notes]
    if "descriptor" not in frame:
        frame["descriptor"] = frame["prompt"]
    if "template" not in frame:
        frame["template"] = NO_TEMPLATE
    if "split" not in frame:
        frame["split"] = split_prompts(frame)
        notes.append("the file has no split: half of each group's descriptors are valid, half test")
    rows = frame[["axis", "group", "descriptor", "template", "prompt", "split"]].itertuples(index=False, name=None)
    return numbered_frame(rows), tuple(notes)


def _check(frame: pd.DataFrame, path: Path) -> None:
    """Raise InputError for what a prompt set would refuse, with the row as a spreadsheet counts it."""

    def refuse(row: int, what: str) -> None:
        raise InputError(f"{path}, row {row + 2}: {what}")

    if "split" in frame:
        wrong = np.flatnonzero(~frame["split"].isin(SPLITS))
        if wrong.size:
            refuse(wrong[0], f"unknown split '{frame['split'].iloc[wrong[0]][:40]}'; {nearest('', SPLITS)}")
    repeated = np.flatnonzero(frame.duplicated(["axis", "group", "prompt"]))
    if repeated.size:
        refuse(repeated[0], "the prompt repeats that of an earlier row of its group; delete one of them")
    allowed = f"up to 60 letters, digits, '_' and '-', and not {' or '.join(map(repr, RESERVED))}"
    for axis, rows in frame.groupby("axis", sort=False):
        row = int(rows.index[0])
        if not AXIS_PATTERN.fullmatch(axis) or axis in RESERVED:
            refuse(row, f"'{axis[:40]}' cannot name an axis; use {allowed}")
        if rows["group"].nunique() < 2:
            refuse(row, f"axis '{axis}' has the one group '{rows['group'].iloc[0][:40]}'; bias compares at least two")
