"""Reading Parquet, JSON and numbers from outside: bounded in size, every fault reported with file, row and fix.

Rows are counted as a spreadsheet counts them: the header is row 1, the first data row is 2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fasp_core.errors import InputError, nearest
from fasp_core.limits import MAX_BYTES, MAX_CELLS, MAX_COLUMNS


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The whole file; raises InputError if it is not there, not a file, not readable, empty or above the limit."""
    try:
        if not path.is_file():
            raise InputError(f"{path}: {'is not a file' if path.exists() else 'no such file'}; check the path")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})") from error
    if len(data) > limit:
        raise InputError(f"{path}: larger than {limit >> 20} MB, far more than this program reads; check the path")
    if not data:
        raise InputError(f"{path}: the file is empty (0 bytes); get it again")
    return data


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """The file as UTF-8 text (a byte-order mark is dropped); raises InputError that names the line it fails at."""
    data = read_bytes(path, limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, row {row}: not UTF-8 text; save the file as UTF-8") from error


def read_parquet(path: Path, required: Iterable[str], *, text: bool = False) -> tuple[pd.DataFrame, dict[bytes, bytes]]:
    """A Parquet table and its schema's metadata; sizes and types are checked before anything is unpacked.

    Without `text`, every column must hold numbers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = read_bytes(path)
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        info = file.metadata
        unpacked = sum(info.row_group(i).total_byte_size for i in range(info.num_row_groups))
        # The stated size is not enough: a value repeated a million times takes a few bytes.
        if info.num_rows * info.num_columns > MAX_CELLS or info.num_columns > MAX_COLUMNS or unpacked > MAX_BYTES:
            raise InputError(
                f"{path}: unpacks to more than {MAX_BYTES >> 20} MB, more than this program reads; check the file"
            )
        for column in file.schema_arrow:
            if not text and not any(
                kind(column.type) for kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_null)
            ):
                raise InputError(
                    f"{path}: column '{shorten(column.name)}' holds {shorten(column.type)} and must hold numbers; "
                    "fix it"
                )
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not a whole Parquet file ({what}); get it again") from error
    require_columns(table.column_names, list(required), path)
    return not_empty(table.to_pandas(ignore_metadata=True), path), table.schema.metadata or {}


def to_numbers(
    cells: pd.Series,
    path: Path,
    name: str,
    *,
    allow_missing: bool = False,
    positive: bool = False,
    high: float = np.inf,
) -> np.ndarray:
    """The cells as finite float64; raises InputError that names the first row that is not a number.

    With `allow_missing`, an empty cell or `NaN` is NaN. With `positive`, negative numbers are refused too, and
    always those above `high`.
    """
    text = cells.astype("string").str.strip() if not pd.api.types.is_numeric_dtype(cells) else cells
    values = np.array(pd.to_numeric(text, errors="coerce").astype("Float64").to_numpy(float, na_value=np.nan))
    missing = np.isnan(values)
    if allow_missing:
        named = cells.isna() | cells.astype("string").str.strip().str.lower().isin(["", "nan"])
        missing &= ~named.fillna(True).to_numpy(bool)
    bad = np.flatnonzero(missing | np.isinf(values) | (positive & (values < 0)) | (values > high))
    if bad.size:
        row = int(bad[0])
        kind = "a number of at least 0" if positive else "a finite number"
        kind += f" and at most {high:g}" if np.isfinite(high) else ""
        what = "is empty" if str(cells.iloc[row]).strip() == "" else f"is '{shorten(cells.iloc[row])}'"
        raise InputError(f"{path}, row {row + 2}: {name} {what} and must be {kind}; correct or delete that row")
    return values


def to_integers(cells: pd.Series, path: Path, name: str, *, low: int, high: int = 2**31) -> np.ndarray:
    """The cells as int64 from `low` to `high`; raises InputError that names the first row that is not."""
    values = to_numbers(cells, path, name)
    bad = np.flatnonzero((values != np.floor(values)) | (values < low) | (values > high))
    if bad.size:
        row = int(bad[0])
        raise InputError(
            f"{path}, row {row + 2}: {name} is '{shorten(cells.iloc[row])}' and must be a whole number from {low} to "
            f"{high}; correct or delete that row"
        )
    return values.astype(np.int64)


def require_columns(header: list[str], required: list[str], path: Path) -> None:
    """Raise InputError for too many columns, a missing one, or one that is there twice."""
    if len(header) > MAX_COLUMNS:
        raise InputError(f"{path}: more than {MAX_COLUMNS} columns, more than this program reads; check the file")
    missing = [name for name in required if name not in header]
    if missing:
        shown = [shorten(name) for name in header[:30]]
        raise InputError(f"{path}, row 1: no column '{missing[0]}'; {nearest(missing[0], shown)}")
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise InputError(f"{path}, row 1: column '{shorten(repeated[0])}' is there twice; keep one")


def not_empty(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The frame itself; raises InputError if it has no row."""
    if frame.empty:
        raise InputError(f"{path}: no row below the header; get the file again")
    return frame


def shorten(value: object) -> str:
    """A value of a file as it is shown in a message: one line, at most 40 characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:37]}…"


def read_json_object(path: Path, what: str) -> dict[str, Any]:
    """The object a JSON file holds; raises InputError for what is no JSON, or no object with something in it."""
    text = read_text(path)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f", row {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep or a number out of range"
        raise InputError(f"{path}{place}: not JSON ({reason}); get the file again") from error
    if "\\ud" in text.lower() and not _is_unicode(data):
        raise InputError(f"{path}: holds half of a character (\\ud…), which is no text; get the file again")
    if not isinstance(data, dict) or not data:
        raise InputError(f"{path}: must hold {what}, as a JSON object; get the file again")
    return data


def _is_unicode(data: Any) -> bool:
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def bad(path: Path, place: str, value: object, needs: str) -> InputError:
    """The error for a value at a place (`axis 'age', bucket 'old'`) that is not what it needs to be."""
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= 60 else f"{shown[:57]}…"
    return InputError(f"{path}, {place}: {shown} must be {needs}; fix it or get the file again")
