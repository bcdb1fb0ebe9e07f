"""CSV of other programs: read where it can mean one thing only, and refused by the cell where it can mean two."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.errors import InputError
from fasp_core.files.csv_files import SEPARATORS, open_csv
from fasp_core.files.reading import to_numbers

REQUIRED = ("name", "x", "y")


def written(folder, content: str | bytes):
    path = folder / "mine.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def numbers(folder, content):
    frame = open_csv(written(folder, content)).columns(REQUIRED, numbers=("x", "y"))
    return [to_numbers(frame[name], folder, name).tolist() for name in ("x", "y")]


def refusal(folder, content, **options) -> str:
    with pytest.raises(InputError) as caught:
        open_csv(written(folder, content)).columns(REQUIRED, **{"numbers": ("x", "y"), **options})
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(folder / "mine.csv"))


@pytest.mark.parametrize(
    "content",
    [
        "name,x,y\na,0.25,1234\nb,3,-1e-3\n",
        "name;x;y\na;0,25;1234\nb;3;-1e-3\n",  # as a spreadsheet writes it where the comma is decimal
        "sep=;\nname;x;y\na;0,25;1234\nb;3;-1e-3\n",
        "\ufeffname\tx\ty\r\na\t0,25\t1234\r\nb\t3\t-1e-3\r\n",
        'name,x,y\na,"0,25",1234\nb,3,"-1e-3"\n',
        " name , x,y\xa0,,\na,0.25,1234,,\nb,3,-1e-3,,\n,,,,\n",  # blanks, empty columns and rows
        "name,x,y\na,0.25,1234,,\nb,3,-1e-3,\n\n",
        ",name,x,y\n0,a,0.25,1234\n1,b,3,-1e-3\n",  # row numbers
        "name\rx".replace("\r", "|") + "|y\ra|0.25|1234\rb|3|-1e-3",  # line ends of old Macs
    ],
)
def test_one_table_in_many_spellings(tmp_path, content):
    assert numbers(tmp_path, content) == [[0.25, 3.0], [1234.0, -0.001]]


def test_three_decimals_are_decimals_where_semicolons_separate(tmp_path):
    assert numbers(tmp_path, "name;x;y\na;1,234;2,500\n") == [[1.234], [2.5]]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('name,x,y\na,"1,234",2\n', ", row 2: x is '1,234', and its comma may stand for a decimal point or for"),
        ("name\tx\ty\na\t1,234\t2\n", ", row 2: x is '1,234', and its comma may stand"),
        ("name;x;y\na;1;2\nb;1.234,5;2\n", ", row 3: x is '1.234,5', and its comma may stand"),
        ("name;x;y\na;0,5;2\nb;1;0.25\n", ", row 2: x is '0,5', and its comma may stand"),
        ("name;x;y\na;1,234,567;2\n", ", row 2: x is '1,234,567', and its comma may stand"),
        ("name,x,y\na,0,5,1\n", ", row 2: 4 cells, but the header has 3; fix that row; a comma inside a cell needs"),
        ("name;x;y\na,1,2\n", ", row 2: 1 cells, but the header has 3 (separated by semicolons); fix that row"),
        ("name,x,y,\na,1,2,\nb,1,2,more\n", ", row 3: cell 4 holds 'more', but that column has no name"),
        (",name,x,y\n5,a,1,2\n", ", row 2: cell 1 holds '5', but that column has no name"),
        ("name,X ,y\na,1,2\n", ", row 1: no column 'x'; did you mean"),
        ("name, x,x \na,1,2\n", ", row 1: no column 'y'"),
        ("name,y, x,x \na,3,1,2\n", ", row 1: column 'x' is there twice"),
        ("name,x,y\n,,\n", ": no row below the header"),
        ("naïve,é\xa0".encode("cp1252") + b",\x81", ", row 1: not UTF-8 text; save the file as UTF-8"),
        ("имя,x,y\nпривет,1,2".encode("cp1251"), ", row 1: not UTF-8 text"),
        ("name,x,y\nžluťoučký kůň,1,2".encode("cp1250"), ", row 2: not UTF-8 text"),
        ("name,x,y\ncafé,1,2".encode("mac_roman"), ", row 2: not UTF-8 text"),
        ("name,x,y\n看護師は言った,1,2".encode("shift_jis"), ", row 2: not UTF-8 text"),
        ("name,x,y\nşoför,1,2".encode("cp1254"), ", row 2: not UTF-8 text"),
    ],
)
def test_what_can_mean_two_things_is_named(tmp_path, content, line):
    assert refusal(tmp_path, content).startswith(line)


@pytest.mark.parametrize("text", ["été à Zürich – “œuvre” für 5 €", "El niño dijo: ¿qué?", "smörgåsbord på Ærø"])
def test_western_european_text_of_a_spreadsheet(tmp_path, text):
    file = open_csv(written(tmp_path, f"name;x;y\n{text};1;2\n".encode("cp1252")))
    assert file.columns(REQUIRED)["name"].tolist() == [text]
    assert len(file.notes) == 1
    assert open_csv(written(tmp_path, f"name;x;y\n{text};1;2\n")).notes == ()


cells = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), min_size=3, max_size=3)


@given(
    rows=st.lists(cells.filter(lambda row: row[0].strip()), min_size=1, max_size=4), by=st.sampled_from([*SEPARATORS])
)
def test_what_a_writer_quotes_comes_back(tmp_path_factory, rows, by):
    """Any text in any cell, written by Python's own csv module with any separator."""
    sink = io.StringIO(newline="")
    csv.writer(sink, delimiter=by).writerows([REQUIRED, *rows])
    frame = open_csv(written(tmp_path_factory.mktemp("csv"), sink.getvalue())).columns(REQUIRED)
    assert frame.to_numpy().tolist() == rows
