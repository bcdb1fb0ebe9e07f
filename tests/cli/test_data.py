"""The command line on what goes into a study: prompts, text, scorers.

Covers the command `rescore`.
"""

from __future__ import annotations

import json

import pytest
from helpers import tiny
from helpers.command_line import AXIS, refused
from helpers.made_study import make_study
from helpers.prompt_csv import CSV, write

from fasp_core.models import open_model as models
from fasp_core.scoring import score_heads as scoring
from fasp_core.study.study import open_study


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory and, in it, a cache folder with a study of random numbers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASP_CACHE", str(tmp_path / "cache"))
    make_study(tmp_path / "cache", "made")
    return tmp_path


def test_prompts_are_counted_and_small_groups_named(run, place):
    write(place, CSV)
    result = run("prompts", "mine.csv")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("mine: 4 prompts, 1 axes, fingerprint ")
    assert [line.split() for line in lines[1:4]] == [
        ["axis", "group", "valid", "test", "descriptors"],
        ["jobs", "doctors", "1", "1", "2"],
        ["jobs", "nurses", "1", "1", "2"],
    ]
    assert "too few: jobs, doctors has 1 valid prompts; a mean needs about 10" in lines
    printed = json.loads(run("prompts", "--axis", "religion", "--json").stdout)
    assert [group["valid"] for group in printed["groups"]] == [240] * 6
    assert (printed["name"], printed["too_few"]) == ("builtin", [])
    refused(run("prompts", "nowhere.csv"), "nowhere.csv: no such file")
    refused(run("prompts", "--axis", "religon"), "did you mean 'religion'")


def test_scorers_are_listed_with_how_to_get_the_rest(run, place, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(place / "torch"))
    lines = run("scorers").stdout.splitlines()
    assert lines[1].split()[:2] == ["embedded", "default"]
    assert any(line.startswith("detoxify:unbiased: put https://") for line in lines)
    rows = {row["ref"]: row for row in json.loads(run("scorers", "--json").stdout)}
    assert rows["vader"]["available"]
    assert not rows["detoxify:original"]["available"]


def test_a_scorer_is_fetched_or_one_line_says_what_to_do(run, place, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(place / "torch"))
    refused(run("scorers", "get", "vader"), "'vader' is not one that can be downloaded")
    refused(run("scorers", "get", "detoxify:unbiased"), "connect to the network and run this again, or: put https://")
    there = place / "there.ckpt"
    monkeypatch.setattr("fasp_core.toxicity.fetch.fetch_scorer", lambda ref, progress: there)
    assert str(there) in run("scorers", "get", "detoxify:unbiased").stdout
    got = json.loads(run("scorers", "get", "detoxify:unbiased", "--json").stdout)
    assert got == {"ref": "detoxify:unbiased", "path": str(there)}


def test_rescore_adds_a_scorer_that_scores_and_select_can_show(run, place):
    result = run("rescore", "made", "--scorer", "vader")
    assert result.stdout.splitlines()[-1] == f"Next: python -m fasp_core scores made --axis {AXIS} --scorer vader"
    assert "toxicity religion: 256/256 texts, done" in result.stderr
    by = {
        name: json.loads(run("scores", "made", "--axis", AXIS, "--scorer", name, "--json").stdout)
        for name in ("embedded", "vader")
    }
    assert by["vader"]["meta"]["scorer"] == "vader"
    assert by["vader"]["heads"] != by["embedded"]["heads"]
    assert json.loads(run("scores", "made", "--axis", AXIS, "--json").stdout)["heads"] == by["embedded"]["heads"]
    assert run("select", "made", "--axis", AXIS, "--scorer", "vader").exit_code == 0
    refused(run("scores", "made", "--axis", AXIS, "--scorer", "vadr"), "did you mean 'vader'")
    refused(run("rescore", "made", "--scorer", "mine:rate"), "no mine.py in the working directory")
    refused(run("rescore", "nothing", "--scorer", "vader"), "no study 'nothing'")


def test_score_takes_prompts_text_and_scorer(run, place, monkeypatch):
    write(place, CSV)
    (place / "text.txt").write_text("one two three four five six seven\n\nthree four five\n\n" * 4)
    (place / "mine.py").write_text("def rate(texts): return [len(t) / 1000 for t in texts]")
    lm = tiny.make_language_model(tiny.LLAMA)
    monkeypatch.setattr(models, "open_model", lambda *args, **options: lm)
    monkeypatch.setitem(scoring.BUDGETS, "quick", scoring.Budget(samples=8, windows=2, knockout_windows=0))
    command = ("score", "x", "--name", "own", "--axes", "jobs")
    refused(run(*command), "unknown axis 'jobs'")
    refused(run(*command, "--prompts", "no.csv"), "no.csv: no such file")
    refused(run(*command, "--prompts", "mine.csv", "--scorer", "no:rate"), "no no.py in the working directory")
    sources = ("--prompts", "mine.csv", "--text", "text.txt", "--scorer", "mine:rate")
    result = run(*command, *sources)
    assert result.exit_code == 0, result.output
    assert "toxicity by mine-rate" in result.stdout.splitlines()
    made = open_study("own").manifest
    assert (made.prompts["name"], made.text["name"]) == ("mine", "text.txt")
    assert (list(made.scorers), made.scorer_refs) == (["mine-rate"], {"mine-rate": "mine:rate"})
    assert any("half of each group's descriptors" in note for note in made.notes)

    monkeypatch.setenv("TORCH_HOME", str(place / "torch"))
    plain = run("score", "x", "--name", "plain", "--axes", "jobs", "--prompts", "mine.csv").stdout
    assert any(line.startswith("toxicity by embedded; the published recipe's scorer") for line in plain.splitlines())
    with_both = run("score", "x", "--name", "plain", "--axes", "jobs", "--scorer", "vader").stdout
    assert "toxicity by vader" in with_both.splitlines()

    again = run(*command)  # resumes with the study's own prompts, text and scorer
    assert again.exit_code == 0, again.output
    assert list(open_study("own").manifest.scorers) == ["mine-rate"]
    refused(run("score", "x", "--name", "own", "--axes", AXIS), f"unknown axis '{AXIS}'")
    write(place, CSV.replace("tired", "weary"))
    refused(run(*command, "--prompts", "mine.csv"), "was made with another prompt set")
    (place / "mine.py").write_text("def rate(texts): return [0.0 for t in texts]")
    refused(run(*command), "mine.py has changed")
