"""The commands `search` and `try` (`try_prompt`), on a tiny model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import tiny
from helpers.command_line import refused
from helpers.made_once import made_once
from helpers.scored_both_ways import score_both_ways

from fasp_core.evaluation import compensation
from fasp_core.evaluation import evaluate as evaluation
from fasp_core.evaluation.history import measured_sets
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.models import open_model as models
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.orders import OrderKey, affordable, stored_order
from fasp_core.study.study import open_study

AXIS = "gender_and_sex"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A scored study of a tiny model, which every reference opens; evaluations are small."""
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "open_model", lambda ref, **_: tiny.make_language_model(tiny.LLAMA))
    monkeypatch.setattr(evaluation, "study_settings", lambda study: EvaluationSettings(blocks=1, max_new_tokens=3))
    lm, budget = tiny.make_language_model(tiny.LLAMA), Budget(32, 4, 1)
    return made_once(
        tmp_path, "t", lambda folder: score_heads(lm, axes=[AXIS], budget=budget, name="t", root=folder), AXIS, budget
    )


def test_what_a_search_measures_is_kept_and_the_best_is_within_the_budget(study, run):
    found = run("search", "t", "--ppl-limit", "9", "--sets", "2", "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    sets = {tuple(map(tuple, one["heads"])): one for one in told["sets"]}
    assert set(sets) == {one.target.heads for one in measured_sets(study, split="valid")}
    if told["best"] is not None:
        best = sets[tuple(map(tuple, told["best"]))]
        assert best["ppl_rise"] <= 9
        assert best["bias"] == min(one["bias"] for one in sets.values() if one["ppl_rise"] <= 9)


def test_sets_are_measured_with_and_without_compensation_and_one_is_exported(study, run, tmp_path, monkeypatch):
    monkeypatch.setattr(compensation, "calibration_windows", lambda *_: [list(range(3, 99))] * 2)
    found = run("search", "t", "--ppl-limit", "9", "--sets", "1", "--compensate", "--json")
    assert found.exit_code == 0, found.output
    assert sorted(one["compensate"] for one in json.loads(found.stdout)["sets"]) == ["least_squares", "none"]
    assert "least squares" in run("search", "t", "--ppl-limit", "9", "--sets", "1", "--compensate").stdout
    options = ("--axis", AXIS, "--alpha", "0.2", "--compensate", "mean")
    path = tmp_path / "chosen.json"
    assert run("export", "t", *options, "--evaluate", "--metric", "toxicity", "--to", path).exit_code == 0
    made = PruningConfig.load(path)
    assert made.compensation.how == "mean"
    told = run("evaluate", "t", "--config", path, "--metric", "toxicity", "--json")  # as the configuration says
    assert json.loads(told.stdout)["compensate"] == "mean"
    assert json.loads(told.stdout)["after"]["ppl"]["value"] == made.metrics["valid"].after.ppl.value
    for_people = run("evaluate", "t", "--config", path, "--metric", "toxicity").stdout
    assert "heads pruned, mean output in their place; measured on" in for_people
    refused(run("export", path, "--compensate", "mean"), "is a configuration, whose heads are chosen")


def test_a_study_by_likelihood_alone_is_searched_and_measured_by_likelihood(tmp_path, monkeypatch, run):
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "open_model", lambda ref, **_: tiny.make_language_model(tiny.LLAMA))
    small = EvaluationSettings(blocks=2, prompts_per_block=12, windows_per_block=1)
    monkeypatch.setattr(evaluation, "study_settings", lambda study: small)
    study = score_both_ways(tiny.make_language_model(tiny.LLAMA), tmp_path, "t", toxicity=False)
    found = run("search", "t", "--axis", AXIS, "--ppl-limit", "9", "--sets", "2", "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["metric"] == "likelihood"
    measured = {one.target.heads: one.evaluation for one in measured_sets(study, stream=f"likelihood.{AXIS}")}
    assert {tuple(map(tuple, one["heads"])) for one in told["sets"]} == set(measured)
    for one in told["sets"]:
        assert one["bias"] == measured[tuple(map(tuple, one["heads"]))].after.odds[AXIS].bias.value
    people = run("search", "t", "--axis", AXIS, "--ppl-limit", "9", "--sets", "2").stdout
    assert f"bias {AXIS}, by likelihood (nats)" in people
    assert run("search", "t", "--axis", AXIS, "--metric", "toxicity").exit_code == 2


def test_a_set_is_evaluated_by_what_its_axis_was_scored_by(tmp_path, monkeypatch, run):
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "open_model", lambda ref, **_: tiny.make_language_model(tiny.LLAMA))
    small = EvaluationSettings(blocks=1, prompts_per_block=12, windows_per_block=1, max_new_tokens=3)
    monkeypatch.setattr(evaluation, "study_settings", lambda study: small)
    score_both_ways(tiny.make_language_model(tiny.LLAMA), tmp_path, "t")
    measured = json.loads(run("evaluate", "t", "--axis", AXIS, "--alpha", "0.2", "--json").stdout)
    assert measured["before"]["bias"] == {}
    assert set(measured["change"]["likelihood"]["bias"]) == {AXIS}
    both = run("evaluate", "t", "--heads", "0.0,1.1", "--axis", "religion").stdout
    assert "bias religion, by toxicity" in both
    assert "bias religion, by likelihood (nats)" in both
    config = tmp_path / "set.json"
    assert run("export", "t", "--axis", AXIS, "--evaluate", "--to", config).exit_code == 0
    assert set(PruningConfig.load(config).metrics["test"].after.likelihood.bias) == {AXIS}


def test_a_prompt_is_continued_by_both_models_and_written(study, run, tmp_path):
    asked = ("try", "t", "--heads", "0.0,1.1", "--prompt=--He is", "--draws", "2")
    found = run(*asked, "--to", tmp_path / "pairs.json", "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert len(told["trials"]) == 2
    assert json.loads((tmp_path / "pairs.json").read_text("utf-8"))["trials"] == told["trials"]
    assert "intact (" in run(*asked).stdout
    assert run("try", "t", "--heads", "0.0", "--prompt", " ").exit_code == 2


def test_pruning_in_stages_ends_at_the_budget_and_select_takes_it_from_there(tmp_path, monkeypatch, run):
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "open_model", lambda ref, **_: tiny.make_language_model(tiny.LLAMA))
    small = EvaluationSettings(blocks=2, prompts_per_block=12, windows_per_block=1)
    monkeypatch.setattr(evaluation, "study_settings", lambda study: small)
    score_both_ways(tiny.make_language_model(tiny.LLAMA), tmp_path, "t", toxicity=False)
    options = ("--axis", AXIS, "--metric", "likelihood")
    select = ("select", "t", *options, "--method", "fasp_iterative")
    refused(run(*select, "--budget-ppl", "9"), "search t --axis gender_and_sex --metric likelihood --iterative")
    found = run("search", "t", *options, "--budget-ppl", "9", "--iterative", "--sets", "1", "--json")
    assert found.exit_code == 0, found.output
    assert "fasp_iterative, gamma 0.3" in found.stderr
    stages = stored_order(open_study("t"), OrderKey(AXIS, "0.3", "likelihood")).stages
    within = [head for stage in affordable(stages, 9) for head in stage.heads]
    told = json.loads(run(*select, "--budget-ppl", "9", "--json").stdout)
    assert sorted(4 * layer + head for layer, head in told["pruned"]) == sorted(within)
    if within:
        assert told["pruned"] in [one["heads"] for one in json.loads(found.stdout)["sets"]]
    assert json.loads(run(*select, "--budget-ppl", "0", "--json").stdout)["pruned"] in ([], told["pruned"])


def test_a_budget_is_for_sets_that_are_chosen_as_a_whole(study, run):
    """Of fasp_joint as the sum of z_ppl predicts it, heads that seem to harm perplexity counting nothing."""
    scores = study.scores()
    for limit in ("0.02", "9"):
        told = run("select", "t", "--method", "fasp_joint", "--alpha", "0.5", "--budget-ppl", limit, "--json")
        flat = [4 * layer + head for layer, head in json.loads(told.stdout)["pruned"]]
        assert np.maximum(scores.z_ppl[flat], 0).sum() <= float(limit) * scores.base_ppl.value
    refused(run("select", "t", "--axis", AXIS, "--budget-ppl", "0.1"), "method 'fasp' knows no budget of perplexity")


def test_annealing_measures_as_many_sets_and_says_what_its_surrogate_knows(study, run):
    options = ("search", "t", "--ppl-limit", "9", "--sets", "4")
    for begins, drawn in (("sets", 2), ("scores", 1)):
        found = run(*options, "--annealed", begins, "--json")
        assert found.exit_code == 0, found.output
        said = f"up to 4 sets are measured, as by the plain search: {drawn} drawn at random, {4 - drawn} proposed"
        assert said in found.stderr
        assert "What the surrogate explains of sets it has not seen" in found.stderr
        told = json.loads(found.stdout)
        assert told["surrogate"]["sets"] >= 4
        known = {one.target.heads for one in measured_sets(study, split="valid")}
        assert {tuple(map(tuple, one["heads"])) for one in told["sets"]} == known
        assert len(known) == {"sets": 4, "scores": 7}[begins]  # the draw of the second search is the first one's
    assert json.loads(run(*options, "--sets", "1", "--json").stdout)["surrogate"] is None
    refused(run(*options, "--sets", "2", "--annealed", "sets"), "at least 4 sets")
