"""The commands `score --compensated` and `select --compensate`, on a tiny model."""

from __future__ import annotations

import json

import pytest
from helpers import tiny
from helpers.command_line import refused
from helpers.scored_both_ways import BY_LIKELIHOOD, score_both_ways

from fasp_core.data.calibration import calibration_windows
from fasp_core.models import open_model as models
from fasp_core.scoring import context
from fasp_core.scoring.budgets import BUDGETS, Budget
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.study import open_study

OPTIONS = ("--axis", BY_LIKELIHOOD, "--metric", "likelihood", "--alpha", "0.4")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A study by likelihood of a tiny model, which every reference opens; the budget and calibration text are short."""
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(context, "calibration_windows", lambda *of: calibration_windows(*of)[:4])
    monkeypatch.setitem(BUDGETS, "quick", Budget(samples=12, windows=2, knockout_windows=0, likelihood_reads=24))
    lm = tiny.make_language_model(tiny.GPT2)
    monkeypatch.setattr(models, "open_model", lambda ref, **_: lm)
    return score_both_ways(lm, tmp_path, "t", toxicity=False)


def test_scores_under_compensation_are_asked_for_and_then_choose(run, small):
    before = run("select", "t", *OPTIONS, "--compensate", "least_squares")
    assert "scores without compensation" in before.stderr
    assert before.stdout == run("select", "t", *OPTIONS).stdout
    more = ("--axes", BY_LIKELIHOOD, "--metric", "likelihood", "--name", "t", "--compensated")
    assert run("score", "tiny", *more).exit_code == 0
    told = run("select", "t", *OPTIONS, "--compensate", "least_squares", "--json")
    assert "scores under compensation" in told.stderr
    made = json.loads(told.stdout)
    scores = open_study("t").scores(metric="likelihood", compensate="least_squares")
    expected = select_heads(scores, axis=BY_LIKELIHOOD, alpha=0.4)
    assert (made["scores_under"], made["pruned"]) == ("least_squares", [list(head) for head in expected.pruned])
    by_mean = run("select", "t", *OPTIONS, "--compensate", "mean", "--json")
    assert json.loads(by_mean.stdout)["scores_under"] == "none"


def test_by_toxicity_alone_they_are_refused(run, small):
    refused(
        run("score", "tiny", "--axes", BY_LIKELIHOOD, "--metric", "toxicity", "--name", "t", "--compensated"),
        "scores under compensation are by likelihood",
    )
