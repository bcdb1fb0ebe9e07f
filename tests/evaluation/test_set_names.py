"""Names and pins of sets: a file of their own, which outlives the measurements."""

from __future__ import annotations

import json

import pytest
from helpers.app_pages import keep
from helpers.made_study import make_study

from fasp_core.errors import InputError
from fasp_core.evaluation.history import measured_sets
from fasp_core.evaluation.set_names import damaged_notes, move_notes, name_set, pin_set, read_notes

HEADS = ((0, 0), (1, 2))


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path, "s")


def notes_file(study):
    return study.folder.parent / ".sets" / "s.json"


def test_a_name_is_one_line_and_found_whatever_the_order_of_heads(study):
    name_set(study, HEADS[::-1], "  my\nset ")
    pin_set(study, HEADS, True)
    assert json.loads(notes_file(study).read_text("utf-8")) == {"0.0-1.2": {"name": "my set", "pinned": True}}


def test_what_is_taken_away_leaves_nothing(study):
    name_set(study, HEADS, "mine")
    pin_set(study, HEADS, True)
    pin_set(study, HEADS, False)
    name_set(study, HEADS, "")
    assert notes_file(study).read_text("utf-8") == "{}"


def test_a_name_that_is_too_long_is_refused(study):
    name_set(study, HEADS, "x" * 60)
    with pytest.raises(InputError, match="at most 60"):
        name_set(study, HEADS, "x" * 61)
    assert read_notes(study.folder.parent, "s")["0.0-1.2"]["name"] == "x" * 60


@pytest.mark.parametrize("text", ["", "{ not json", "[1]", "\xff"])
def test_a_damaged_file_counts_as_empty_and_is_written_anew(study, text):
    notes_file(study).parent.mkdir()
    notes_file(study).write_text(text, "latin-1")
    root = study.folder.parent
    assert read_notes(root, "s") == {}
    assert "s.json is damaged" in damaged_notes(root, "s")
    name_set(study, HEADS, "mine")
    assert read_notes(root, "s") == {"0.0-1.2": {"name": "mine"}}
    assert damaged_notes(root, "s") == ""
    assert notes_file(study).with_suffix(".damaged").read_text("latin-1") == text


@pytest.mark.parametrize(
    "note", [5, None, "x", [], {"name": 5}, {"name": "x" * 61}, {"pinned": "yes"}, {"other": 1}, {"name": "\ud800"}]
)
def test_a_damaged_note_leaves_the_others(study, note):
    notes_file(study).parent.mkdir()
    notes_file(study).write_text(json.dumps({"0.0-1.2": note, "0.1": {"name": "mine"}}))
    keep(study, HEADS)
    assert read_notes(study.folder.parent, "s") == {"0.1": {"name": "mine"}}
    assert [found.name for found in measured_sets(study)] == [""]
    assert damaged_notes(study.folder.parent, "s")


def test_names_and_pins_outlive_the_measurements(study):
    keep(study, HEADS)
    name_set(study, HEADS, "mine")
    pin_set(study, HEADS, True)
    for path in study.folder.parent.glob("evaluations.sqlite*"):
        path.unlink()
    assert measured_sets(study) == []
    keep(study, HEADS)
    (found,) = measured_sets(study)
    assert (found.name, found.pinned) == ("mine", True)


def test_names_follow_a_study_that_is_renamed(study):
    root = study.folder.parent
    name_set(study, HEADS, "mine")
    move_notes("s", "t", root)
    assert read_notes(root, "t") == {"0.0-1.2": {"name": "mine"}}
    assert read_notes(root, "s") == {}
    move_notes("none", "t", root)  # has no notes to bring
    assert read_notes(root, "t") == {"0.0-1.2": {"name": "mine"}}
