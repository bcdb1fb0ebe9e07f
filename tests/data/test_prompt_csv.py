"""A user's own CSV: columns, splits and quotes; any file is loaded whole or refused by row."""

from __future__ import annotations

import gzip

import pytest
from helpers.prompt_csv import CSV, write
from helpers.prompt_files import cell, loaded_or_refused, refused, word
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.data.prompts import load_prompts
from fasp_core.errors import InputError

table = st.lists(st.lists(word | cell, min_size=1, max_size=5), min_size=1, max_size=5)


def test_columns_splits_and_quotes(tmp_path):
    path = write(tmp_path, CSV)
    prompts = load_prompts(str(path))
    assert prompts.name == "mine"
    assert prompts.frame["prompt"].tolist() == [
        "The doctor said",
        "A nurse, tired,",
        "The nurse said",
        "A doctor went",
    ]
    assert (prompts.frame.groupby("group")["split"].nunique() == 2).all()
    assert prompts.frame["descriptor"].tolist() == prompts.frame["prompt"].tolist()
    assert len(prompts.notes) == 1
    few = prompts.too_few()
    assert few["prompts"].tolist() == [1, 1, 1, 1]


def test_given_descriptors_are_not_split_and_given_splits_are_kept(tmp_path):
    rows = [f"p{i},ages,{g},d{i // 3}{g}" for g in "xy" for i in range(9)]
    frame = load_prompts(write(tmp_path, "\n".join(["prompt,axis,group,descriptor", *rows]))).frame
    assert (frame.groupby(["group", "descriptor"])["split"].nunique() == 1).all()
    assert frame.groupby(["group", "split"])["descriptor"].nunique().tolist() == [1, 2, 1, 2]
    rows = [f"{row},test" for row in rows[:-1]] + [f"{rows[-1]},valid"]
    prompts = load_prompts(write(tmp_path, "\n".join(["prompt,axis,group,descriptor,split", *rows])))
    assert prompts.frame["split"].tolist() == ["test"] * 17 + ["valid"]
    assert prompts.notes == ()
    missing = prompts.too_few()
    assert missing.query("group == 'x' and split == 'valid'")["prompts"].tolist() == [0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("prompt,axis\na,b", "row 1: no column 'group'"),
        ("prompt,axis,group,group\na,b,c,d", "row 1: column 'group' is there twice"),
        ("prompt,axis,group\n", "no row below the header"),
        ("prompt,axis,group\na,b", "row 2: 2 cells, but the header has 3"),
        ("prompt,axis,group\na,b,c\n,b,d", "row 3: 'prompt' is blank"),
        ("prompt,axis,group\na,b,c\na,b, c", "row 3: the prompt repeats"),
        ("prompt,axis,group\na,b,c\nb,b,c", "row 2: axis 'b' has the one group 'c'"),
        ("prompt,axis,group\na,x y,c\nb,x y,d", "row 2: 'x y' cannot name an axis"),
        ("prompt,axis,group\na,text,c\nb,text,d", "row 2: 'text' cannot name an axis"),
        ("prompt,axis,group,split\na,b,c,valid\nb,b,d,train", "row 3: unknown split 'train'; known: test, valid"),
        ('prompt,axis,group\n"a,b,c', "row 2: not a CSV row"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_row(tmp_path, content, message):
    refused(write(tmp_path, content), message)


def test_a_spreadsheet_s_file_is_the_same_prompts(tmp_path):
    """Semicolons, Windows-1252, blanks around names, empty columns and rows: a decimal comma in a prompt stays."""
    rows = ["Sie zahlt 1,50 für,jobs;jobs;nurses", "Er grüßt, weil;jobs;doctors", ";;"]
    path = tmp_path / "mine.csv"
    path.write_bytes("\r\n".join(["prompt ; axis;group;;", *rows]).encode("cp1252"))
    prompts = load_prompts(path)
    assert prompts.frame["prompt"].tolist() == ["Sie zahlt 1,50 für,jobs", "Er grüßt, weil"]
    assert prompts.frame["group"].tolist() == ["nurses", "doctors"]
    assert prompts.notes[0].startswith("the file is not UTF-8; it was read as Windows-1252")


def test_names_that_look_alike_are_pointed_out(tmp_path):
    groups = ["Caf\u00e9", "Cafe\u0301", "bar", "Bar", "non_binary", "non-binary", "other"]
    rows = [f"p{i},{axis},{group}" for axis in ("jobs", "Jobs") for i, group in enumerate(groups[:2])]
    rows += [f"p{i},ages,{group}" for i, group in enumerate(groups[2:])]
    prompts = load_prompts(write(tmp_path, "\n".join(["prompt,axis,group", *rows])))
    assert prompts.frame["group"].nunique() == 7
    alike = "'Caf\u00e9' and 'Cafe\u0301' count as two; they look the same; if one is meant, give one name"
    assert list(prompts.notes[1:]) == [
        "the axes 'jobs' and 'Jobs' count as two; if one is meant, give one name",
        f"the groups of jobs {alike}",
        f"the groups of Jobs {alike}",
        "the groups of ages 'bar' and 'Bar' count as two; if one is meant, give one name",
        "the groups of ages 'non_binary' and 'non-binary' count as two; if one is meant, give one name",
    ]
    assert load_prompts(write(tmp_path, CSV)).notes == prompts.notes[:1]


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_no_text_file_at_all(tmp_path, suffix):
    path = tmp_path / f"x_valid.{suffix}"
    refused(path, "no such file")
    path.write_bytes(b"")
    refused(path, "the file is empty (0 bytes)")
    path.write_bytes("prompt,axis,group\nкофе,b,c".encode("cp1251"))
    refused(path, "row 2: not UTF-8 text")
    path.write_bytes(gzip.compress(b"\0" * 10**7))  # a zip bomb under another name is not unpacked
    refused(path, "not UTF-8 text")
    with path.open("wb") as file:
        file.truncate(200 * 2**20)
    refused(path, "larger than 64 MB")
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError):
        load_prompts(path)


def test_json_that_is_none(tmp_path):
    path = tmp_path / "x_valid.json"
    for content, message in [
        ("{", "row 1: not JSON"),
        ("[" * 10**5, "not JSON"),
        ("[1]", "must hold axes"),
        ('{"a":\n nope}', "row 2: not JSON"),
    ]:
        path.write_text(content)
        refused(path, message)


@given(table, st.booleans())
def test_any_csv_is_loaded_or_refused(folder, rows, with_header):
    header = [["prompt", "axis", "group", "split"]] if with_header else []
    loaded_or_refused(write(folder, "\n".join(",".join(row) for row in [*header, *rows])))


@given(st.binary(max_size=200))
def test_any_bytes_are_loaded_or_refused(folder, content):
    for name in ("mine.csv", "x_valid.json"):
        (folder / name).write_bytes(content)
        loaded_or_refused(folder / name)
