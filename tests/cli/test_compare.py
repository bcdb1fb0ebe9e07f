"""The command `compare`: what it prints, writes and refuses; on a tiny model."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from helpers import tiny
from helpers.made_study import make_study
from helpers.scored_both_ways import score_both_ways
from typer.testing import CliRunner

from fasp_core.cli.app import app
from fasp_core.cli.compare import parse_weights
from fasp_core.comparison import interactions, measure
from fasp_core.comparison.table import list_comparisons, read_comparison
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.models import open_model as models
from fasp_core.scoring.score_heads import Budget, score_heads

AXIS = "gender_and_sex"
SMALL = (
    "--methods",
    "fasp,fasp_iterative,random",
    "--alphas",
    "0.1,0.2",
    "--gammas",
    "0.3,0.5",
    "--valid-blocks",
    "1",
    "--test-blocks",
    "2",
    "--iterative-samples",
    "16",
    "--iterative-step",
    "0.1",
    "--iterative-gammas",
    "0.5",
)


def run(*args: object):
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="python -m fasp_core")


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A scored study of a tiny model, which every reference opens; evaluations are small."""
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "open_model", lambda ref, **_: tiny.make_language_model(tiny.LLAMA))
    for module in (measure, interactions):
        monkeypatch.setattr(module, "study_settings", lambda study: EvaluationSettings(blocks=2, max_new_tokens=3))
    return score_heads(
        tiny.make_language_model(tiny.LLAMA), axes=[AXIS], budget=Budget(32, 4, 1), name="t", root=tmp_path
    )


def test_compare_prints_both_limits_and_writes_the_table(study, tmp_path):
    result = run("compare", "t", *SMALL, "--to", tmp_path / "out.csv")
    assert result.exit_code == 0, result.output
    for words in ("no more than 5 % more perplexity", "no more than 10 % more perplexity", "95 % intervals", "random"):
        assert words in result.stdout
    lines = result.stdout.split("At no more than ")[1].splitlines()
    assert all(any(method in line for line in lines) for method in ("fasp", "fasp_iterative", "random"))
    assert "measuring on test: " in result.stderr
    assert "Against fasp at the same alpha, in % of what that leaves:" in result.stdout
    assert "Against random at the same alpha" in result.stdout
    frame = pd.read_csv(tmp_path / "out.csv")
    assert set(frame["method"]) == {"fasp", "fasp_iterative", "random"}
    (name,) = list_comparisons(study)
    again = run("compare", "t", *SMALL, "--json")
    printed = json.loads(again.stdout)
    assert printed["comparison"] == name
    assert printed["complete"]
    assert len(printed["rows"]) == frame["against"].isna().sum()
    assert len(printed["differences"]) == frame["against"].notna().sum() > 0
    chosen = run("select", "t", "--method", "fasp_iterative", "--gamma", 0.5, "--alpha", 0.2, "--json")
    assert len(json.loads(chosen.stdout)["pruned"]) == 2


def test_by_likelihood_with_what_takes_the_heads_place(tmp_path, monkeypatch, short_calibration_text):
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "open_model", lambda ref, **_: tiny.make_language_model(tiny.LLAMA))
    small = EvaluationSettings(prompts_per_block=6, windows_per_block=1)
    for module in (measure, interactions):
        monkeypatch.setattr(module, "study_settings", lambda study: small)
    study = score_both_ways(tiny.make_language_model(tiny.LLAMA), tmp_path, "t")
    asked = ("compare", "t", "--axis", AXIS, "--alphas", "0,0.25", "--gammas", "0.3", "--test-blocks", "1")
    result = run(*asked, "--methods", "fasp,random", "--compensate", "none,least_squares", "--to", tmp_path / "out.csv")
    assert result.exit_code == 0, result.output  # the axis was scored by likelihood alone
    for words in ("in their place", "nothing", "change of bias of gender and sex by likelihood"):
        assert words in result.stdout
    frame = pd.read_csv(tmp_path / "out.csv")
    assert (
        frame.loc[frame["n_pruned"] > 0].groupby("method")["compensate"].agg(set).tolist()
        == [{"none", "least_squares"}] * 2
    )
    (name,) = list_comparisons(study)
    assert read_comparison(study, name).metric == "likelihood"
    refused = run(*asked, "--methods", "fasp_iterative", "--compensate", "least_squares")
    assert refused.exit_code == 2
    assert "study 't' has none of gender_and_sex; add them" in refused.stderr
    pairs = run("compare", "t", "--axis", AXIS, "--interactions", 1, "--test-blocks", 1, "--json")
    assert json.loads(pairs.stdout)["metric"] == "likelihood"


def test_interactions_are_counted(study, tmp_path):
    result = run("compare", "t", "--interactions", 2, "--test-blocks", 2, "--to", tmp_path / "pairs.parquet")
    assert result.exit_code == 0, result.output
    assert "of 2 pairs (95 % intervals); beyond chance" in result.stdout
    pairs = pd.read_parquet(tmp_path / "pairs.parquet")
    assert len(pairs) == 4
    printed = json.loads(run("compare", "t", "--interactions", 2, "--test-blocks", 2, "--json").stdout)
    assert (printed["study"], printed["axis"]) == ("t", AXIS)
    assert set(printed["shares"]) == {f"bias.{AXIS}", "ppl"}
    for metric, share in printed["shares"].items():
        assert share["n_pairs"] == 2
        assert share["n_differ"] == int(pairs.loc[pairs["metric"] == metric, "differs"].sum())
    assert [row["interaction"] for row in printed["pairs"]] == pytest.approx(pairs["interaction"].tolist())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "several axes were scored, choose one with --axis"),
        (("--axis", "gender"), "did you mean 'gender_and_sex'"),
        (("--axis", AXIS, "--methods", "fsap"), "did you mean 'fasp'"),
        (("--axis", AXIS, "--metric", "likelihood"), "study 'made' holds no scores by likelihood"),
        (("--axis", AXIS, "--compensate", "least_square"), "did you mean 'least_squares'"),
        (("--axis", AXIS, "--compensate", ","), "needs compensations"),
        (("--axis", AXIS, "--alphas", "0:0.2"), "give first:last:step with a step above 0"),
        (("--axis", AXIS, "--gammas", "many"), "--gammas is 'many'"),
        (("--axis", AXIS, "--gammas", "1.2"), "from 0 to 1"),
        (("--axis", AXIS, "--weights", "religion"), "give axis=weight with commas"),
        (("--axis", AXIS, "--to", "x.txt"), "written to .csv or .parquet"),
    ],
)
def test_bad_options_are_one_line_before_any_work(options, words, tmp_path, monkeypatch):
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    make_study(tmp_path, "made")
    result = run("compare", "made", *options)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_weights():
    assert parse_weights("religion=2, gender_and_sex=0.5") == {"religion": 2.0, "gender_and_sex": 0.5}
    assert parse_weights(None) is None
