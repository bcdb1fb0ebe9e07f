"""The commands `score --compensated` and `select --compensate`, on a tiny model."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from helpers import tiny
from helpers.command_line import refused
from helpers.scored_both_ways import BY_LIKELIHOOD, score_both_ways

from fasp_core.comparison import measure
from fasp_core.comparison.search import candidates
from fasp_core.data.calibration import calibration_windows
from fasp_core.evaluation import evaluate as evaluation
from fasp_core.evaluation.history import measured_sets
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.head import parse_heads
from fasp_core.models import open_model as models
from fasp_core.scoring import context, stage_scores
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
    exported = run("export", "t", *OPTIONS, "--compensate", "least_squares")
    assert json.loads(exported.stdout)["method"]["scores_under"] == "least_squares"
    by_mean = run("select", "t", *OPTIONS, "--compensate", "mean", "--json")
    assert json.loads(by_mean.stdout)["scores_under"] == "none"


def test_a_comparison_chooses_by_them_and_finds_an_order_for_each_way(
    run, tmp_path, small, monkeypatch, short_calibration_text
):
    monkeypatch.setattr(stage_scores, "calibration_windows", lambda *of: calibration_windows(*of)[:4])
    monkeypatch.setattr(
        measure, "study_settings", lambda study: EvaluationSettings(prompts_per_block=6, windows_per_block=1)
    )
    score_both_ways(models.open_model("tiny"), tmp_path, "c", toxicity=False, compensated=True)
    asked = (
        "--alphas",
        "0.25",
        "--gammas",
        "0.3",
        "--test-blocks",
        "1",
        "--iterative-readings",
        "24",
        "--iterative-step",
        "0.25",
    )
    methods = ("--methods", "fasp,fasp_iterative", "--compensate", "none,least_squares")
    options = ("--axis", BY_LIKELIHOOD, "--metric", "likelihood")
    compared = run("compare", "c", *options, *methods, *asked, "--to", tmp_path / "out.csv")
    assert compared.exit_code == 0, compared.output
    assert "heads were chosen by their scores under compensation" in compared.stdout
    written = pd.read_csv(tmp_path / "out.csv")
    rows = written[(written["metric"] == "ppl") & written["against"].isna()].set_index(["method", "compensate"])
    for (method, way), row in rows.iterrows():
        select = ("--method", method, "--alpha", "0.25", "--compensate", way, "--json")
        chosen = json.loads(run("select", "c", *options, *select).stdout)
        assert tuple(map(tuple, chosen["pruned"])) == parse_heads(row["heads"])
        assert chosen["scores_under"] == way
    assert len(rows) == 4


def test_a_search_chooses_by_them_what_the_others_take_over(run, tmp_path, small, monkeypatch, short_calibration_text):
    size = EvaluationSettings(blocks=1, prompts_per_block=12, windows_per_block=1)
    monkeypatch.setattr(evaluation, "study_settings", lambda study: size)
    study = score_both_ways(models.open_model("tiny"), tmp_path, "c", toxicity=False, compensated=True)
    search = ("search", "c", "--axis", BY_LIKELIHOOD, "--metric", "likelihood", "--ppl-limit", "9", "--sets", "1")
    for more, under in (((), "none"), (("--compensate",), "least_squares")):
        before = {one.target.heads for one in measured_sets(study)}
        told = run(*search, *more, "--json")
        assert told.exit_code == 0, told.output
        assert ("scores under compensation" in told.stderr) == (under == "least_squares")
        assert json.loads(told.stdout)["scores_under"] == under
        scores = study.scores(metric="likelihood", compensate=under)
        promised = {candidate.heads for candidate in candidates(scores, BY_LIKELIHOOD)}
        new = {one.target.heads for one in measured_sets(study)} - before
        assert len(new) == 1
        assert new <= promised


def test_by_toxicity_alone_they_are_refused(run, small):
    refused(
        run("score", "tiny", "--axes", BY_LIKELIHOOD, "--metric", "toxicity", "--name", "t", "--compensated"),
        "scores under compensation are by likelihood",
    )
