"""Where the packaged prompts, pairs and articles are; checks and fingerprints of the tables that hold such data.

The packaged files are in `builtin/`; `docs/prompts.md` says how they were made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd

from fasp_core.errors import InputError, nearest

PACKAGED_PROMPTS = Path(__file__).with_name("builtin") / "prompts.json"
PACKAGED_PAIRS = Path(__file__).with_name("builtin") / "pairs.json"
PACKAGED_SENTENCES = Path(__file__).with_name("builtin") / "sentence_pairs.json"
PACKAGED_FACTS = Path(__file__).with_name("builtin") / "facts.json"
PACKAGED_ARTICLES = Path(__file__).with_name("builtin") / "articles.txt"
PACKAGED_CALIBRATION = Path(__file__).with_name("builtin") / "calibration.txt"
PACKAGED_SCORES = Path(__file__).with_name("builtin") / "gpt2.published.parquet"

SPLITS = ("valid", "test")


def checked_frame(frame: pd.DataFrame, columns: Mapping[str, type], *, what: str) -> pd.DataFrame:
    """A copy with exactly these columns, in this order, numbered from 0; `columns` maps each name to int or str.

    Raises InputError, naming the column or the row (counted from 0), for a missing or unknown column, no rows, a value
    of another type (NaN included), blank text, or a split that is neither "valid" nor "test".
    """
    needs = f"it needs exactly the columns {', '.join(columns)}"
    if missing := [c for c in columns if c not in frame.columns]:
        raise InputError(f"{what} lacks the column '{missing[0]}'; {needs}")
    if unknown := [c for c in frame.columns if c not in columns]:
        raise InputError(f"{what} has the unknown column '{unknown[0]}'; {needs}")
    if len(frame) == 0:
        raise InputError(f"{what} is empty; give it at least one row")
    for column, kind in columns.items():
        for row in _suspects(frame[column], kind):
            if problem := _problem(frame[column].iloc[[row]].tolist()[0], kind):
                raise InputError(f"{what}, row {row}: '{column}' is {problem}")
    for row in np.flatnonzero(~frame["split"].isin(SPLITS)).tolist():
        check_split(frame["split"].iloc[row], where=f"{what}, row {row}: ")
    dtypes = {column: "int64" if kind is int else "str" for column, kind in columns.items()}
    return frame[list(columns)].astype(dtypes).reset_index(drop=True)


def frame_fingerprint(frame: pd.DataFrame) -> str:
    """16 hex digits of a SHA-256 over column names and rows, in their order: equal content, equal fingerprint."""
    rows = zip(*(frame[name].tolist() for name in frame.columns), strict=True)
    content = json.dumps([list(frame.columns), *rows])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def check_split(split: str, *, where: str = "") -> None:
    """Raises InputError, with `where` before its message, for a split that is neither "valid" nor "test"."""
    if split not in SPLITS:
        raise InputError(f"{where}unknown split '{split}'; {nearest(split, SPLITS)}")


def _suspects(values: pd.Series, kind: type) -> Iterable[int]:
    """Rows that may hold a problem: few or none where the column's type is as it should be, else all."""
    if kind is int and values.dtype == "int64":
        return ()
    if kind is str and pd.api.types.infer_dtype(values, skipna=False) == "string":
        return np.flatnonzero(values.isna() | (values.astype("str").str.strip() == ""))
    return range(len(values))


def _problem(value: object, kind: type) -> str:
    """What is wrong with one cell, "" when nothing is."""
    if kind is int:
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        return "" if whole else f"{value!r}, not a whole number"
    if not isinstance(value, str):
        return f"{value!r}, not text"
    return "" if value.strip() else "blank"
