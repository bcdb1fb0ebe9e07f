"""The log of runs: whole lines, bounded, without texts, and never in the way."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from fasp_core.access import LOG
from fasp_core.files import run_log
from fasp_core.files.paths import child_environment
from fasp_core.files.run_log import FILE, log_event, place_of


def test_each_event_is_a_line(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: log_event(tmp_path, "r", "step", number=n), range(50)))
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text("utf-8").splitlines()]
    assert sorted(line["number"] for line in lines) == list(range(50))
    assert {(line["run"], line["event"]) for line in lines} == {("r", "step")}


@pytest.mark.parametrize("text", ["I hate all of them", "a\nb", "x" * 81, "ä"])
def test_a_text_is_not_logged(tmp_path, text):
    with pytest.raises(ValueError, match="texts are not logged"):
        log_event(tmp_path, "r", "step", prompt=text)
    assert not (tmp_path / FILE).exists()


def test_a_line_has_its_level_and_is_printed_where_asked_for(tmp_path, monkeypatch, capsys):
    log_event(tmp_path, "r", "job ends", study="default", seconds=1.5)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(LOG, "json")
    log_event(tmp_path, "r", "evaluation fails", level="error", study="default", error="InputError")
    printed = capsys.readouterr().err
    first, second = (tmp_path / FILE).read_text("utf-8").splitlines(keepends=True)
    assert printed == second
    assert {"level": "info", "event": "job ends", "study": "default", "seconds": 1.5}.items() <= json.loads(
        first
    ).items()
    assert json.loads(second)["level"] == "error"
    assert {"time", "run", "pid"} <= json.loads(second).keys()


def test_what_the_server_starts_prints_for_people(monkeypatch):
    monkeypatch.setenv(LOG, "json")
    assert LOG not in child_environment()


def test_an_error_is_its_kind_and_place(tmp_path):
    try:
        raise KeyError("what somebody wrote")
    except KeyError as error:
        place = place_of(error)
    assert place.startswith("test_run_log.py:")
    assert place_of(ValueError()) == "unknown"


def test_the_file_is_bounded_and_a_full_disk_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(run_log, "MOST_BYTES", 300)
    for number in range(20):
        log_event(tmp_path, "r", "step", number=number)
    assert {path.name for path in (tmp_path / ".log").iterdir()} == {"runs.jsonl", "runs.1.jsonl"}
    assert all(path.stat().st_size < 600 for path in (tmp_path / ".log").iterdir())
    log_event(tmp_path / ".log" / "runs.jsonl", "r", "step")  # a file where a folder should be
