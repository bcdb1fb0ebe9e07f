"""CSV as spreadsheets and other programs write it: read where it can mean one thing only, else one line that names it.

* Cells are separated by commas, semicolons, tabs or bars; whichever splits the first row into most names is meant. A
  first line `sep=;`, which spreadsheets hide, is obeyed and not counted.
* Text is UTF-8, UTF-16 with its byte-order mark, or Windows-1252 if it looks like a Western European language.
* Blanks around the names of columns are dropped; so are unnamed columns that hold nothing, a first one that holds row
  numbers, and empty rows at the end.
* Numbers may have a decimal comma, not thousands marks.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fasp_core.errors import InputError
from fasp_core.files.reading import not_empty, read_bytes, require_columns, shorten
from fasp_core.limits import MAX_CELLS, MAX_COLUMNS, MAX_LINES, MAX_ROWS

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
PERHAPS_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
# What Western European languages use beyond ASCII. In the encodings of other languages the same bytes are other
# letters, and in most texts some of them are not in here: "š", "ž", "ð", "þ", "ý" or superscript digits.
WESTERN = {*map(chr, range(0xC0, 0x100)), *"\xa0¡£§©ª«®°´·º»¿€…‘’“”‚„‹›–—•™Œœ"} - {*"ÐÞÝðþý"}
LONG_RUN = re.compile(r"[^\x00-\x7f]{4}")  # of such characters: "été" has a letter between two, Cyrillic words none
WESTERN_SHARE = 0.3  # of all letters, at most
NOT_UTF8 = "not UTF-8 text; save the file as UTF-8"


@dataclass(frozen=True)
class CsvFile:
    """A CSV that has been read but not yet split into rows; `notes` say what had to be guessed."""

    path: Path
    text: str
    separator: str
    header: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def columns(
        self, required: Iterable[str], *, optional: Iterable[str] | None = (), numbers: Collection[str] | None = ()
    ) -> pd.DataFrame:
        """The required columns and the optional ones (None: all that have a name), as text cells; at least one row.

        In the columns `numbers` (None: in all) decimal commas become points. Raises InputError for a missing or
        repeated column, a row with too many or too few cells, a file without rows, a number that can be read two ways.
        """
        required = list(required)
        names = [name for name in self.header if name]
        require_columns(names, required, self.path)
        rows = self._rows()
        wanted = [
            i for i, name in enumerate(self.header) if name and (optional is None or name in {*required, *optional})
        ]
        frame = pd.DataFrame(
            [[cells[i] for i in wanted] for cells in rows], columns=[self.header[i] for i in wanted], dtype=str
        )
        numeric = [name for name in frame if numbers is None or name in numbers]
        return _with_decimal_points(not_empty(frame, self.path), numeric, self)

    def _rows(self) -> list[list[str]]:
        """The cells below the header, as many in each row as the header has."""
        rows: list[list[str]] = []
        reader = csv.reader(io.StringIO(self.text.rstrip("\r\n"), newline=""), delimiter=self.separator, strict=True)
        try:
            next(reader)
            for cells in reader:
                rows.append(self._whole_row(cells, len(rows) + 2))
                if len(rows) > MAX_ROWS or len(rows) * len(self.header) > MAX_CELLS:
                    raise InputError(
                        f"{self.path}: more than {len(rows) - 1:,} rows, more than this program reads; check the file"
                    )
        except csv.Error as error:
            raise InputError(f"{self.path}, row {len(rows) + 2}: not a CSV row ({error}); fix that row") from error
        while rows and not any(map(str.strip, rows[-1])):
            rows.pop()
        self._refuse_unnamed(rows)
        return rows

    def _whole_row(self, cells: list[str], row: int) -> list[str]:
        """A row with empty cells at its end added or taken away; raises InputError where other cells would be."""
        n = len(self.header)
        if len(cells) > n and not any(map(str.strip, cells[n:])):
            return cells[:n]
        if len(cells) < n and (not any(map(str.strip, cells)) or not any(self.header[len(cells) :])):
            return [*cells, *[""] * (n - len(cells))]
        if len(cells) != n:
            quote = "; a comma inside a cell needs quotes around it" if len(cells) > n and self.separator == "," else ""
            by = "" if self.separator == "," else f" (separated by {SEPARATORS[self.separator]})"
            raise InputError(
                f"{self.path}, row {row}: {len(cells)} cells, but the header has {n}{by}; fix that row{quote}"
            )
        return cells

    def _refuse_unnamed(self, rows: list[list[str]]) -> None:
        """Raise InputError for a column without a name that holds something, except row numbers in the first."""
        for i, name in enumerate(self.header):
            filled = [] if name else [row for row, cells in enumerate(rows) if cells[i].strip()]
            if filled and not (i == 0 and [cells[0] for cells in rows] == [str(row) for row in range(len(rows))]):
                raise InputError(
                    f"{self.path}, row {filled[0] + 2}: cell {i + 1} holds '{shorten(rows[filled[0]][i])}', but that "
                    "column has no name; name it in row 1, or put quotes around a cell that was split there"
                )


def open_csv(path: Path) -> CsvFile:
    """Read a file as CSV; raises InputError if its text cannot be told. What is in it is checked by `columns`."""
    text, notes = _decoded(path)
    if text.count("\n") > MAX_LINES:  # before anything is taken apart
        raise InputError(f"{path}: more than {MAX_LINES:,} lines, more than this program reads; check the file")
    first = _first_line(text)
    declared = re.fullmatch(r'"?sep=(.)"?[;,\t|]*\s*', first)
    if declared and declared[1] in SEPARATORS:
        text = text[len(first) :]
        return CsvFile(path, text, declared[1], tuple(_names(_first_line(text), declared[1])), notes)
    headers = {separator: _names(first, separator) for separator in SEPARATORS}
    separator = max(headers, key=lambda each: sum(map(bool, headers[each])))  # commas first where several are equal
    return CsvFile(path, text, separator, tuple(headers[separator]), notes)


def _first_line(text: str) -> str:
    return io.StringIO(text[: MAX_COLUMNS * 100], newline="").readline()


def _names(line: str, separator: str) -> list[str]:
    """The names of the columns, "" for those that have none; no names if the line is no CSV."""
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=separator), [])][: MAX_COLUMNS + 1]
    except csv.Error:
        return []


def _decoded(path: Path) -> tuple[str, tuple[str, ...]]:
    data = read_bytes(path)
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if data.startswith(mark):
            try:
                return data.decode(encoding), ()
            except UnicodeDecodeError as error:
                row = data.count(b"\n", 0, error.start) + 1
                if encoding == "utf-16":
                    break
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = ""
    if not _looks_western(text):
        raise InputError(f"{path}, row {row}: {NOT_UTF8}")
    return text, ("the file is not UTF-8; it was read as Windows-1252, as spreadsheets write Western European text",)


def _looks_western(text: str) -> bool:
    """Whether text that was decoded as Windows-1252 is what it seems: a mistake would show in letters out of place."""
    beyond = [letter for letter in text if letter > "\x7f"]
    letters = sum(map(str.isalpha, text))
    return (
        bool(text)
        and "\x00" not in text
        and WESTERN.issuperset(beyond)
        and sum(map(str.isalpha, beyond)) <= WESTERN_SHARE * letters
        and not LONG_RUN.search(text)
    )


def _with_decimal_points(frame: pd.DataFrame, numeric: list[str], file: CsvFile) -> pd.DataFrame:
    """The frame with the decimal commas of its numbers as points.

    A comma may also mark thousands. It is a decimal comma if semicolons separate the cells, or if some number of the
    file cannot be meant otherwise (0,25); and not if a number of the file has a point.
    """
    places = [(row, name) for name in numeric for row in np.flatnonzero(frame[name].str.contains(",", regex=False))]
    if not places:
        return frame
    cells = [frame.at[row, name].strip() for row, name in places]
    certain = file.separator == ";" or not all(PERHAPS_THOUSANDS.fullmatch(cell) for cell in cells)
    pointed = any(frame[name].str.contains(r"\d\.|\.\d").any() for name in numeric)
    for (row, name), cell in zip(places, cells, strict=True):
        if not DECIMAL_COMMA.fullmatch(cell) or pointed or not certain:
            raise InputError(
                f"{file.path}, row {row + 2}: {name} is '{shorten(cell)}', and its comma may stand for a decimal point "
                "or for thousands; write all numbers of the file with a decimal point and without thousands marks"
            )
        frame.at[row, name] = cell.replace(",", ".")
    return frame
