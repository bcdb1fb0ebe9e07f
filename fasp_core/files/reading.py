"""Reading tables that somebody else made: bounded in size, and every fault named by file, row and mend.

Rows are counted as a spreadsheet shows them: the header is row 1, the first data row is 2.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import InputError, nearest

MAX_BYTES = 64 * 2**20
MAX_JSON_BYTES = 16 * 2**20  # a list takes 3 bytes of JSON and 60 of memory
MAX_CELLS = 10_000_000
MAX_COLUMNS = 1000
MAX_ROWS = 2_000_000


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


def csv_header(text: str) -> list[str]:
    """The names in a CSV's first row; empty if that row is no CSV."""
    first = io.StringIO(text[: MAX_COLUMNS * 100]).readline()
    try:
        return next(csv.reader([first]), [])[: MAX_COLUMNS + 1]
    except csv.Error:
        return []


def read_csv_columns(
    text: str, path: Path, required: Iterable[str], *, optional: Iterable[str] | None = ()
) -> pd.DataFrame:
    """The required columns and the optional ones (None: all there are), as text cells; at least one row.

    Raises InputError for a missing or repeated column, a row with too many or too few cells, a file without rows.
    """
    header, required = csv_header(text), list(required)
    _require_columns(header, required, path)
    wanted = [i for i, name in enumerate(header) if optional is None or name in required or name in optional]
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text.rstrip("\r\n")), strict=True)
    try:
        next(reader)
        for cells in reader:
            if len(cells) != len(header):
                raise InputError(
                    f"{path}, row {len(rows) + 2}: {len(cells)} cells, but the header has {len(header)}; mend that row"
                )
            rows.append([cells[i] for i in wanted])
            if len(rows) > MAX_ROWS or len(rows) * len(wanted) > MAX_CELLS:
                raise InputError(
                    f"{path}: more than {len(rows) - 1:,} rows, more than this program reads; check the file"
                )
    except csv.Error as error:
        raise InputError(f"{path}, row {len(rows) + 2}: not a CSV row ({error}); mend that row") from error
    return _not_empty(pd.DataFrame(rows, columns=[header[i] for i in wanted], dtype=str), path)


def read_parquet(path: Path, required: Iterable[str], *, text: bool = False) -> tuple[pd.DataFrame, dict[bytes, bytes]]:
    """A Parquet table and its schema's metadata; sizes, and types, are looked at before anything is unpacked.

    Without `text`, every column must hold numbers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = read_bytes(path)
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        info = file.metadata
        unpacked = sum(info.row_group(i).total_byte_size for i in range(info.num_row_groups))
        # What a column unpacks to is not what it says: a value repeated a million times takes a few bytes.
        if info.num_rows * info.num_columns > MAX_CELLS or info.num_columns > MAX_COLUMNS or unpacked > MAX_BYTES:
            raise InputError(
                f"{path}: unpacks to more than {MAX_BYTES >> 20} MB, more than this program reads; check the file"
            )
        for column in file.schema_arrow:
            if not text and not any(
                kind(column.type) for kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_null)
            ):
                raise InputError(
                    f"{path}: column '{_short(column.name)}' holds {_short(column.type)} and must hold numbers; mend it"
                )
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not a whole Parquet file ({what}); get it again") from error
    _require_columns(table.column_names, list(required), path)
    return _not_empty(table.to_pandas(ignore_metadata=True), path), table.schema.metadata or {}


def to_numbers(
    cells: pd.Series, path: Path, name: str, *, allow_missing: bool = False, positive: bool = False,
    high: float = np.inf,
) -> np.ndarray:  # fmt: skip
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
        what = "is empty" if str(cells.iloc[row]).strip() == "" else f"is '{_short(cells.iloc[row])}'"
        raise InputError(f"{path}, row {row + 2}: {name} {what} and must be {kind}; correct or delete that row")
    return values


def to_integers(cells: pd.Series, path: Path, name: str, *, low: int, high: int = 2**31) -> np.ndarray:
    """The cells as int64 from `low` to `high`; raises InputError that names the first row that is not."""
    values = to_numbers(cells, path, name)
    bad = np.flatnonzero((values != np.floor(values)) | (values < low) | (values > high))
    if bad.size:
        row = int(bad[0])
        raise InputError(
            f"{path}, row {row + 2}: {name} is '{_short(cells.iloc[row])}' and must be a whole number from {low} to "
            f"{high}; correct or delete that row"
        )
    return values.astype(np.int64)


def _require_columns(header: list[str], required: list[str], path: Path) -> None:
    if len(header) > MAX_COLUMNS:
        raise InputError(f"{path}: more than {MAX_COLUMNS} columns, more than this program reads; check the file")
    missing = [name for name in required if name not in header]
    if missing:
        shown = [_short(name) for name in header[:30]]
        raise InputError(f"{path}, row 1: no column '{missing[0]}'; {nearest(missing[0], shown)}")
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise InputError(f"{path}, row 1: column '{_short(repeated[0])}' is there twice; keep one")


def _not_empty(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    if frame.empty:
        raise InputError(f"{path}: no row below the header; get the file again")
    return frame


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:37]}…"
