"""`evaluate --scorecard` and `--tasks`: the library's rows as JSON and as a table, and what is refused.

Covers `harness`.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from helpers import tiny
from helpers.command_line import AXIS, refused
from helpers.made_metrics import made_metrics
from helpers.made_study import make_study

from fasp_core.cli import evaluate as command
from fasp_core.evaluation import harness, reading_tasks
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.scorecard import scorecard
from fasp_core.evaluation.scorecard_result import evaluation_rows
from fasp_core.models import open_model as models
from fasp_core.stats.estimate import Estimate

HEADS = ((0, 0), (2, 1))
PLAIN = "sentence_more,sentence_less,axis,split\nShe cooks.,He cooks.,jobs,test\nHe drives.,She drives.,jobs,test\n"


def made_evaluation(split):
    parts = (
        made_metrics(Estimate(p, 0.1, 9), {AXIS: Estimate(b, 0.01, 50)}) for p, b in ((9, 0.2), (8, 0.1), (-1, -0.1))
    )
    return Evaluation(HEADS, split, *parts, 50, 9, 1.0)


@pytest.fixture(scope="module")
def lm():
    return tiny.make_language_model(tiny.LLAMA)


@pytest.fixture
def work(tmp_path, monkeypatch, lm):
    """A study of a tiny model; what `evaluate` samples is given, what the scorecard reads is little."""
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    study = make_study(tmp_path, "t", n_layers=3, heads_per_layer=4)
    study.update(model={**study.manifest.model, "fingerprint": lm.fingerprint})
    monkeypatch.setattr(models, "open_model", lambda ref, **_: lm)
    monkeypatch.setattr(command, "measure_set", lambda study, lm, pruned, axes, split, *how: made_evaluation(split))
    whole = reading_tasks.passages
    monkeypatch.setattr(reading_tasks, "passages", lambda split: whole(split)[:2])
    (tmp_path / "mine.csv").write_text(PLAIN)
    return tmp_path


def test_json_is_the_library_s_scorecard_and_the_table_its_rows(run, work, lm):
    asked = ("evaluate", "t", "--heads", "0.0,2.1", "--split", "test", "--scorecard", "--sentences", work / "mine.csv")
    result = run(*asked, "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)["scorecard"]
    assert (printed["split"], printed["exploratory"]) == ("test", False)
    bias, ppl = printed["rows"][:2]
    assert (bias["measure"], bias["axis"], bias["verdict"], ppl["verdict"]) == ("bias", AXIS, "better", "better")
    *_, card = scorecard(lm, HEADS, split="test")
    own = [row for row in printed["rows"][2:] if row["data"] != "mine"]
    assert [(row["measure"], row["axis"], row["change"]["value"]) for row in own] == [
        (row.measure, row.axis, row.compared.change.value) for row in card.rows
    ]
    mine = [row for row in printed["rows"] if row["data"] == "mine"]
    assert [(row["axis"], row["change"]["n"], row["change"]["se"]) for row in mine] == [("jobs", 2, None)] * 2

    people = run(*asked).stdout.splitlines()
    start = next(i for i, line in enumerate(people) if line.startswith("measure"))
    assert len(people) - start == 1 + len(printed["rows"]) + 2
    assert people[start + 1].split()[0] == "bias"
    assert people[-2].startswith("Each interval leaves out 0 by chance once in 20 times: of ")


def test_on_valid_it_says_exploratory(run, work):
    result = run("evaluate", "t", "--heads", "0.0,2.1", "--scorecard")
    assert "Exploratory: heads are chosen on valid. Measure on test before you claim anything." in result.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sentences", "mine.csv"], "give --scorecard too"),
        (["--scorecard", "--sentences", "none.csv"], "none.csv: no such file"),
        (["--limit", "10"], "give --tasks too"),
        (["--tasks-folder", "here"], "give --tasks too"),
        (["--tasks", " , "], "no task was named"),
    ],
)
def test_bad_options(run, work, options, words):
    refused(run("evaluate", "t", "--heads", "0.0", *options), words)


def test_tasks_of_the_harness_are_rows_of_their_own(run, work, monkeypatch):
    asked = []
    (row, *_) = evaluation_rows(made_evaluation("valid"))

    def measured(lm, pruned, names, **how):
        asked.append((pruned, names, how["folder"], how["limit"], how["compensate"]))
        return [replace(row, measure="quiz acc", axis=None, source="lm-eval, 40 documents")]

    monkeypatch.setattr(harness, "measure_tasks", measured)
    options = ("evaluate", "t", "--heads", "0.0,2.1", "--tasks", "quiz, other", "--tasks-folder", work, "--limit", "40")
    printed = json.loads(run(*options, "--json").stdout)
    assert asked == [(HEADS, ["quiz", "other"], work, 40, "none")]
    assert [(each["measure"], each["data"]) for each in printed["tasks"]] == [("quiz acc", "lm-eval, 40 documents")]
    assert "scorecard" not in printed
    last = run(*options).stdout.splitlines()[-1]
    assert last.startswith("quiz acc")
    assert "−0.1" in last


def test_without_lm_eval_one_line_says_how_to_get_it(run, work, monkeypatch):
    monkeypatch.setattr(harness, "find_spec", lambda name: None)
    refused(run("evaluate", "t", "--heads", "0.0", "--tasks", "arc_easy"), "pip install -r requirements-lm-eval.txt")
