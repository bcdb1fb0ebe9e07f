"""A study made in bfloat16 is gone on with in bfloat16, from any folder, by every command, on a CPU."""

from __future__ import annotations

import json

import pytest
from helpers import tiny
from helpers.command_line import AXIS

from fasp_core.evaluation import evaluate as evaluation
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.scoring import score_heads as scoring
from fasp_core.study.study import open_study

NOTE = "note: model computes in bfloat16, which most CPUs do more slowly than float32"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model's folder in the working directory, a cache folder, and small budgets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(scoring.BUDGETS, "quick", scoring.Budget(samples=32, windows=4, knockout_windows=1))
    monkeypatch.setattr(evaluation, "study_settings", lambda study: EvaluationSettings(blocks=1, max_new_tokens=3))
    lm = tiny.make_language_model(tiny.LLAMA)
    lm.model.save_pretrained(tmp_path / "model")
    lm.tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


def test_score_evaluate_export_verify_and_score_again(run, folder, monkeypatch):
    scored = run(
        "score",
        "./model",
        "--axes",
        AXIS,
        "--metric",
        "toxicity",
        "--dtype",
        "bfloat16",
        "--name",
        "t",
        "--device",
        "cpu",
    )
    assert scored.exit_code == 0, scored.output
    assert NOTE in scored.stderr
    assert open_study("t").manifest.model["dtype"] == "bfloat16"

    monkeypatch.chdir(folder / "elsewhere")
    evaluated = run("evaluate", "t", "--axis", AXIS, "--device", "cpu", "--json")
    assert evaluated.exit_code == 0, evaluated.output
    assert json.loads(evaluated.stdout)["n_texts"] > 0
    assert NOTE in evaluated.stderr

    assert run("export", "t", "--axis", AXIS, "--to", "c.json").exit_code == 0
    assert PruningConfig.load("c.json").model.dtype == "bfloat16"
    exported = run("export", "c.json", "--format", "compact", "--to", "out", "--device", "cpu")
    assert exported.exit_code == 0, exported.output
    proof = run("verify", "out", "--device", "cpu", "--json")
    assert proof.exit_code == 0, proof.output
    assert json.loads(proof.stdout)["equal"]

    measured = {path.name for path in open_study("t").folder.iterdir()}
    again = run("score", "../model", "--axes", AXIS, "--metric", "toxicity", "--name", "t", "--device", "cpu")
    assert again.exit_code == 0, again.output
    assert {path.name for path in open_study("t").folder.iterdir()} == measured
