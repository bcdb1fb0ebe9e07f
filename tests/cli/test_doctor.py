"""`doctor`: what it finds is there, what is missing is told with its mend, and a wrong answer is found."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version

import pytest

from fasp_core.cli import doctor, known_answers
from fasp_core.cli.known_answers import model_answers, scorer_answers

UNPACK = "the default model is not unpacked yet; run: python -m fasp_core.models.default_model"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache folder, without the default model, and no weights of Detoxify."""
    monkeypatch.setenv("FASP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def test_what_is_there_and_what_is_missing(run, place):
    result = run("doctor", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert result.stderr == f"error: 1 thing to mend: {UNPACK}\n"
    assert found["versions"]["torch"] == version("torch")
    assert found["machine"]["memory"] > found["machine"]["memory_free"] > 0
    assert [row["what"] for row in found["folders"]] == ["cache", "models", "hub cache"]
    assert found["folders"][0]["folder"] == str(place / "cache")
    assert (found["folders"][0]["there"], found["folders"][0]["writable"]) == (False, True)
    assert found["folders"][1]["holds"] == "default model not unpacked yet"
    assert {row["scorer"]: row["available"] for row in found["scorers"]}["embedded"]
    assert any(line.startswith("detoxify:unbiased: put https://") for line in found["optional"])
    assert [(answer["name"], answer["same"]) for answer in found["self_check"]] == [("embedded scorer", True)]
    assert not (place / "cache").exists()


def test_for_people(run, place):
    lines = run("doctor").stdout.splitlines()
    assert " cores; memory " in lines[0]
    assert any(line.startswith("fasp ") and f"torch {version('torch')}" in line for line in lines)
    assert any(line.startswith("embedded scorer") and line.endswith("same") for line in lines)
    assert lines[-1] == f"to mend: {UNPACK}"


def test_full_disks_closed_folders_and_missing_libraries_have_a_mend(run, place, monkeypatch):
    monkeypatch.setattr(doctor, "LITTLE_DISK", float("inf"))
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    monkeypatch.setattr(doctor, "LIBRARIES", ("torch", "no-such-library", "ray"))
    wrong = json.loads(run("doctor", "--json").stdout)["wrong"]
    assert wrong[0].startswith("the library no-such-library is not installed; run 'make setup'")
    assert wrong[1] == f"{place / 'cache'} cannot be written; set FASP_CACHE to a folder that can"
    assert "left; free some, or set FASP_CACHE" in wrong[3]


def test_the_default_model_answers_as_is_known(default_model):
    answers = model_answers(default_model)
    assert [answer.name for answer in answers if not answer.same] == []
    assert len(answers) == 5


def test_a_changed_model_is_found_out(tiny_llama, monkeypatch):
    """Every answer of another model differs, and so does a number that is a little off."""
    monkeypatch.setattr(known_answers, "HEADS", ((0, 3), (1, 0), (2, 1)))
    assert not any(answer.same for answer in model_answers(replace(tiny_llama)))
    rude, plain = known_answers.TOXICITY
    monkeypatch.setattr(known_answers, "TOXICITY", (rude - 2 * known_answers.SHARE, plain))
    assert [answer.same for answer in scorer_answers()] == [False]
