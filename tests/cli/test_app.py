"""The command line: what it prints, its exit statuses, and that nothing a user does ends in a traceback.

Covers the commands `score`, `select`, `verify`, `import_file` and `likelihood`, and `options`, `sources`, `output`.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import tiny
from helpers.command_line import AXIS, refused
from helpers.made_study import make_study
from helpers.published_files import JSON, published_file

from fasp_core.cli.terminal import STOPPED_LINE, ProgressReport
from fasp_core.errors import Cancelled, InputError, RunError
from fasp_core.evaluation import evaluate as evaluation
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.files import writing as files
from fasp_core.files.paths import PROJECT
from fasp_core.models import open_model as models
from fasp_core.progress import Progress, StageClock
from fasp_core.scoring import score_heads as scoring
from fasp_core.selection.score_files import read_head_scores
from fasp_core.selection.select_heads import METHODS, select_heads
from fasp_core.study import study
from fasp_core.study.clearest import clearest_metric_for
from fasp_core.study.study import open_study


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A cache folder with one study of random numbers, 6 × 4 heads, two axes."""
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    return make_study(tmp_path, "made")


class TestSelecting:
    def test_select_prints_the_library_s_selection(self, run, made):
        result = run("select", "made", "--axis", AXIS, "--gamma", 0.25, "--alpha", 0.25, "--json")
        selection = select_heads(made.scores(), axis=AXIS, gamma=0.25, alpha=0.25)
        printed = json.loads(result.stdout)
        assert [tuple(head) for head in printed["pruned"]] == list(selection.pruned)
        assert [tuple(head) for head in printed["protected"]] == list(selection.protected)
        assert (printed["method"], printed["axis"], printed["gamma"], printed["alpha"]) == ("fasp", AXIS, 0.25, 0.25)

    def test_select_for_people(self, run, made):
        result = run("select", "made", "--axis", AXIS)
        first, header, *lines = result.stdout.splitlines()
        assert first == (
            "2 of 24 heads pruned, 7 protected, by fasp (gamma 0.3, alpha 0.1): bias gender_and_sex, by toxicity"
        )
        assert header.split() == ["layer", "heads"]
        assert sum(len(line.split()) - 1 for line in lines) == 2

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--axis", "gender"], "did you mean 'gender_and_sex'"),
            ([], "several axes were scored, choose one with --axis: gender_and_sex, religion"),
            (["--axis", AXIS, "--gamma", "1.2"], "gamma must be a number from 0 to 1"),
            (["--axis", AXIS, "--alpha", "nan"], "alpha must be a number from 0 to 1"),
            (["--axis", AXIS, "--gamma", "0.95"], "alpha 0.1 is more than 1 − gamma = 0.05"),
            (["--axis", AXIS, "--gamma", "many"], "--gamma"),
            (["--axis", AXIS, "--method", "fsap"], "did you mean 'fasp'"),
            (["--axis", AXIS, "--method", "magnitude_l2"], "no column 'magnitude_l2'"),
            (["--axis", AXIS, "--model", "gpt2"], "are for files of head scores"),
            (["--axi", AXIS], "No such option: --axi"),
        ],
    )
    def test_bad_options(self, run, made, options, words):
        refused(run("select", "made", *options), words)

    def test_an_axis_is_found_whatever_it_was_scored_by_and_a_bias_that_is_not_clear_is_told(self, run, monkeypatch):
        monkeypatch.setenv("FASP_CACHE", str(PROJECT / "cache"))
        unclear = run("select", "default", "--axis", "nationality")
        assert "27 of 270 heads pruned" in unclear.stdout
        assert "bias nationality, by likelihood (nats)" in unclear.stdout
        p_value = open_study("default").scores(metric="likelihood").verdict("nationality").p_value
        assert unclear.stderr.startswith(f"note: A bias on this axis is not clear yet (p = {p_value:.2f}).")
        assert "mostly noise" in unclear.stderr
        assert run("select", "default", "--axis", "religion").stderr == ""
        refused(run("select", "default"), "choose one with --axis: gender_and_sex, race_ethnicity, religion")
        wrong = run("scores", "default", "--axis", "nationality", "--metric", "toxicity")
        refused(wrong, "no scores for axis 'nationality' by toxicity; known: gender_and_sex, race_ethnicity")

    def test_methods_without_an_axis_need_none(self, run, made):
        assert run("select", "made", "--method", "ppl_only").exit_code == 0

    def test_help_names_every_method(self, run):
        text = " ".join(run("select", "--help").stdout.split())
        assert all(method in text for method in METHODS)

    def test_unknown_study_and_missing_file(self, run, made, tmp_path):
        refused(run("select", "mad"), "did you mean 'made'")
        refused(run("select", tmp_path / "none.csv"), "no such file")

    def test_a_damaged_study(self, run, made):
        shard = next(made.folder.glob("gradient.text.*"))
        shard.write_bytes(shard.read_bytes()[:-1])
        refused(run("select", "made", "--axis", AXIS), "is damaged")
        (made.folder / "manifest.json").write_text("{")
        refused(run("select", "made", "--axis", AXIS), "is damaged")
        listed = json.loads(run("studies", "--json").stdout)
        assert [(row["name"], "is damaged" in row["problem"]) for row in listed] == [("made", True)]


class TestScores:
    def test_the_top_heads_in_order(self, run, made):
        table = made.scores()
        printed = json.loads(run("scores", "made", "--axis", AXIS, "--top", 5, "--json").stdout)
        order = np.argsort(-table.z_bias(AXIS))[:5]
        assert [4 * head["layer"] + head["head"] for head in printed["heads"]] == order.tolist()
        assert [head["z_bias"] for head in printed["heads"]] == pytest.approx(table.z_bias(AXIS)[order].tolist())
        assert [head["z_ppl_se"] for head in printed["heads"]] == pytest.approx(table.z_ppl_se[order].tolist())

    def test_all_heads_by_perplexity(self, run, made):
        printed = json.loads(run("scores", "made", "--axis", AXIS, "--top", 0, "--sort", "ppl", "--json").stdout)
        values = [head["z_ppl"] for head in printed["heads"]]
        assert len(values) == 24
        assert values == sorted(values, reverse=True)

    def test_for_people_with_errors_and_reliability(self, run, made):
        lines = run("scores", "made", "--axis", AXIS, "--top", 3).stdout.splitlines()
        assert lines[0].startswith("perplexity ")
        assert lines[1].startswith(f"bias {AXIS}, by toxicity, ")
        assert "; ranking reliability " in lines[1]
        assert "The 3 of 24 heads with the highest z_bias; --top 0 lists all:" in lines
        assert len([line for line in lines if line.count(" ± ") == 2]) == 3

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_the_whole_table_to_a_file_and_back(self, run, made, tmp_path, kind):
        path = tmp_path / f"table.{kind}"
        assert run("scores", "made", "--axis", AXIS, "--to", path).exit_code == 0
        np.testing.assert_array_equal(read_head_scores(path).z_bias(AXIS), made.scores().z_bias(AXIS))
        of_file, of_study = (run("select", one, "--axis", AXIS).stdout.splitlines() for one in (path, "made"))
        assert of_file[1:] == of_study[1:]  # the first line tells the metric, which a CSV does not

    def test_other_files_are_refused(self, run, made, tmp_path):
        refused(run("scores", "made", "--axis", AXIS, "--to", tmp_path / "t.xlsx"), "written to .csv or .parquet")

    def test_published_scores_without_the_model(self, run):
        path = published_file(JSON)
        result = run("select", path, "--model", "gpt2", "--axis", "religion", "--alpha", 0.2, "--json")
        expected = select_heads(read_head_scores(path, model="gpt2"), axis="religion", alpha=0.2)
        assert [tuple(head) for head in json.loads(result.stdout)["pruned"]] == list(expected.pruned)
        refused(run("select", path, "--axis", "religion"), "it holds: distilgpt2, gpt2")

    def test_a_pipe_that_closes_early(self, made):
        command = f"{sys.executable} -m fasp_core scores made --axis {AXIS} --json | head -c 10"
        result = subprocess.run(["bash", "-c", command], cwd=PROJECT, capture_output=True, text=True, timeout=120)
        assert result.stderr == ""


class TestExport:
    def test_to_a_file(self, run, made, tmp_path):
        path = tmp_path / "gender.json"
        result = run("export", "made", "--axis", AXIS, "--alpha", 0.2, "--to", path)
        assert result.stdout == f"{path}: 4 of 24 heads pruned, 7 protected\n"
        config = PruningConfig.load(path)
        assert config.pruned == select_heads(made.scores(), axis=AXIS, alpha=0.2).pruned
        assert (config.model.name, config.scorer.name, config.metrics) == ("made-model", "embedded", {})

    def test_to_stdout(self, run, made):
        assert PruningConfig.loads(run("export", "made", "--axis", AXIS).stdout).method.axis == AXIS

    def test_scores_of_a_file_cannot_be_measured(self, run, made, tmp_path):
        made.scores().to_csv(tmp_path / "s.csv")
        refused(run("export", tmp_path / "s.csv", "--axis", AXIS, "--evaluate"), "--evaluate needs the model")


@pytest.fixture
def tiny_work(tmp_path, monkeypatch):
    """A cache folder in which every model is a tiny one, and budgets and evaluations are small."""
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "open_model", lambda ref, **_: tiny.make_language_model(tiny.LLAMA))
    small = scoring.Budget(samples=128, windows=16, knockout_windows=2, likelihood_reads=60)
    monkeypatch.setitem(scoring.BUDGETS, "quick", small)
    monkeypatch.setattr(evaluation, "study_settings", lambda study: EvaluationSettings(blocks=3, max_new_tokens=4))
    return tmp_path


class TestEndToEnd:
    def test_score_then_everything_else(self, run, tiny_work):
        scored = run("score", "default", "--axes", AXIS, "--name", "t", "--json")
        assert scored.exit_code == 0, scored.output
        assert json.loads(scored.stdout)["study"] == "t"
        assert f"gradient {AXIS}: 128/128 texts, done" in scored.stderr
        listed = json.loads(run("studies", "--json").stdout)
        assert [(row["name"], row["axes"], row["problem"]) for row in listed] == [("t", [AXIS], None)]
        assert run("scores", "t").exit_code == 0

        options = ("--gamma", 0.3, "--alpha", 0.2)
        made = open_study("t")
        clearest = made.scores(metric=clearest_metric_for(made, AXIS))
        pruned = select_heads(clearest, axis=AXIS, gamma=0.3, alpha=0.2).pruned
        measured = run("evaluate", "t", *options, "--split", "test", "--json")
        printed = json.loads(measured.stdout)
        assert [tuple(head) for head in printed["pruned"]] == list(pruned)
        assert "evaluating on test: 100/100 %, done" in measured.stderr
        for name in ("ppl", "bias"):
            before, after, change = (
                printed[when][name] if name == "ppl" else printed[when][name][AXIS]
                for when in ("before", "after", "change")
            )
            assert change["value"] == pytest.approx(after["value"] - before["value"])
            assert change["low"] < change["value"] < change["high"]

        path = tiny_work / "c.json"
        assert run("export", "t", *options, "--evaluate", "--to", path).exit_code == 0
        config = PruningConfig.load(path)
        assert set(config.metrics) == {"valid", "test"}
        assert config.metrics["test"].after.ppl.value == printed["after"]["ppl"]["value"]

        again = run("evaluate", "t", "--config", path, "--split", "test", "--json")
        assert json.loads(again.stdout) == printed
        heads = ",".join(f"{layer}.{head}" for layer, head in pruned)
        by_hand = run("evaluate", "t", "--heads", heads, "--split", "test", "--json")
        assert json.loads(by_hand.stdout) == printed
        people = run("evaluate", "t", "--heads", heads).stdout
        assert "perplexity" in people
        assert f"bias {AXIS}" in people

    def test_scoring_again_measures_nothing_anew(self, run, tiny_work, monkeypatch):
        assert run("score", "default", "--axes", AXIS).exit_code == 0

        def never(*_args, **_kwargs):
            raise AssertionError("measured again")

        monkeypatch.setattr(study.Study, "write_shard", never)
        assert run("score", "default", "--axes", AXIS).exit_code == 0

    def test_bad_input_leaves_nothing_behind(self, run, tiny_work):
        refused(run("score", "default", "--axes", "gender"), "did you mean 'gender_and_sex'")
        refused(run("score", "default", "--axes", ","), "--axes names no axis")
        refused(run("score", "default", "--axes", AXIS, "--budget", "huge"), "--budget")
        refused(run("score", "default", "--axes", AXIS, "--name", "../up"), "cannot name a study")
        refused(run("score", "default"), "--axes")
        assert os.listdir(tiny_work) == []

    def test_a_full_disk_is_one_line(self, run, tiny_work, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(files.os, "fsync", full)
        result = run("score", "default", "--axes", AXIS)
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1].startswith("error: cannot write ")
        assert "the disk is full" in result.stderr

    def test_a_cache_that_cannot_be_written(self, run, tiny_work, monkeypatch):
        (tiny_work / "file").touch()
        monkeypatch.setenv("FASP_CACHE", str(tiny_work / "file"))
        result = run("score", "default", "--axes", AXIS)
        assert result.exit_code == 2
        assert result.stderr.count("error: ") == 1

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--heads", "0-3"], "'0-3' is no head"),
            (["--heads", ","], "no head was given"),
            (["--heads", "9.9"], "head (9, 9) does not exist"),
            (["--heads", "0.0", "--config", "c.json"], "either --heads or --config"),
            (["--config", "none.json"], "no such file"),
            (["--axis", AXIS, "--split", "train"], "--split"),
            (["--heads", "0.0", "--axes", "age"], "unknown axis 'age'"),
        ],
    )
    def test_bad_evaluations(self, run, tiny_work, monkeypatch, options, words):
        lm = tiny.make_language_model(tiny.LLAMA)
        manifest = make_study(tiny_work, "t", n_layers=3, heads_per_layer=4)
        manifest.update(model={**manifest.manifest.model, "fingerprint": lm.fingerprint})
        refused(run("evaluate", "t", *options), words)

    def test_a_configuration_of_another_model(self, run, made, tmp_path):
        other = make_study(tmp_path, "other", n_layers=3)
        path = tmp_path / "c.json"
        PruningConfig.from_selection(select_heads(other.scores(), axis=AXIS), other).save(path)
        refused(run("evaluate", "made", "--config", path), "is for 3 layers × 4 heads")

    def test_another_model_under_the_same_name(self, run, tiny_work):
        make_study(tiny_work, "t", n_layers=3, heads_per_layer=4)
        refused(run("evaluate", "t", "--heads", "0.0"), "is not the model that study 't' was made with")


class TestExitStatus:
    @pytest.mark.parametrize(
        ("error", "status", "line"),
        [
            (InputError("mend\nthis"), 2, "error: mend this"),
            (RunError("it broke"), 1, "error: it broke"),
            (Cancelled("stop"), 130, STOPPED_LINE),
            (KeyboardInterrupt(), 130, STOPPED_LINE),
            (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "error: /x: no permission to write there"),
            (OSError(errno.EIO, "Input/output error", "/x"), 1, "error: /x: input/output error"),
            (ZeroDivisionError("division by zero"), 1, "error: unexpected ZeroDivisionError: division by zero"),
        ],
    )
    def test_every_failure_is_one_line(self, run, monkeypatch, error, status, line):
        def fail():
            raise error

        monkeypatch.setattr(study, "list_studies", fail)
        result = run("studies")
        assert result.exit_code == status
        assert result.stderr.startswith(line)
        assert result.stderr.count("\n") == 1

    def test_an_unexpected_error_can_be_looked_into(self, run, monkeypatch):
        monkeypatch.setattr(study, "list_studies", lambda: 1 / 0)
        monkeypatch.setenv("FASP_TRACEBACK", "1")
        assert "Traceback" in run("studies").stderr

    def test_no_command_and_a_wrong_one(self, run):
        refused(run(), "Missing command; see --help")
        refused(run("scroe"), "scroe")

    def test_no_study_yet(self, run, tmp_path, monkeypatch):
        monkeypatch.setenv("FASP_CACHE", str(tmp_path / "none"))
        assert "There is no study yet" in run("studies").stdout
        assert json.loads(run("studies", "--json").stdout) == []


INTERRUPTED = """
import sys, torch
from helpers import tiny
from fasp_core.models import open_model as models
from fasp_core.scoring import score_heads as scoring
torch.set_num_threads(1)
models.open_model = lambda ref, **_: tiny.make_language_model(tiny.LLAMA)
scoring.BUDGETS["quick"] = scoring.Budget(100_000, windows=16, knockout_windows=1, likelihood_reads=60)
from fasp_core.cli.app import app
app(sys.argv[1:])
"""


def test_ctrl_c_says_that_the_study_resumes(run, tiny_work):
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, "score", "default", "--axes", AXIS, "--name", "t"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    with process:
        for line in process.stderr:
            if line.startswith("gradient text: 16/16"):
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.splitlines()[-1] == STOPPED_LINE
    assert "Traceback" not in err
    assert out == ""
    kept = {path.name: path.read_bytes() for path in (tiny_work / "t").glob("*.parquet")}
    assert len(kept) >= 3
    assert run("score", "default", "--axes", AXIS, "--name", "t").exit_code == 0
    assert all((tiny_work / "t" / name).read_bytes() == data for name, data in kept.items())


def test_help_is_quick_because_it_imports_nothing_heavy():
    code = (
        "import sys, fasp_core.cli.app; sys.exit(bool({'torch', 'transformers', 'pandas', 'scipy'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, timeout=120).returncode == 0


def test_as_a_program():
    result = subprocess.run(
        [sys.executable, "-m", "fasp_core", "--help"], cwd=PROJECT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: python -m fasp_core ")


class TestProgress:
    def test_a_line_per_stage_and_every_ten_seconds(self, capsys):
        with ProgressReport() as report:
            for done, elapsed in ((0, 0.0), (1, 4.0), (2, 11.0), (3, 15.0), (4, 22.0)):
                report(Progress("gradient", done, 4, "texts", elapsed, eta_s=(4 - done) * 5.0 if done else None))
        assert capsys.readouterr().err.splitlines() == [
            "gradient: 2/4 texts, 10 s left",
            "gradient: 4/4 texts, done in 22 s",
        ]

    def test_bars_on_a_terminal(self):
        from rich.console import Console

        stream = io.StringIO()
        with ProgressReport(Console(file=stream, force_terminal=True, width=100)) as report:
            clock = StageClock("gradient", 4, "texts", report)
            clock.step(3)
        assert "3/4 texts" in stream.getvalue()
        assert "left" in stream.getvalue()


def test_scores_are_by_the_clearest_measure_or_the_scorer_asked_for(run, monkeypatch):
    monkeypatch.setenv("FASP_CACHE", str(PROJECT / "cache"))
    assert "bias gender_and_sex, by likelihood (nats)," in run("scores", "default", "--axis", AXIS).stdout
    rated = run("scores", "default", "--axis", AXIS, "--scorer", "vader").stdout
    assert "bias gender_and_sex, by toxicity, rated by vader:" in rated
    other = run("scores", "default", "--axis", AXIS, "--metric", "toxicity").stdout
    lines = [next(line for line in told.splitlines() if line.startswith("agreement")) for told in (rated, other)]
    assert lines[0] != lines[1]  # that of the ratings that are shown
    refused(run("scores", "default", "--axis", AXIS, "--metric", "likelihood", "--scorer", "vader"), "--scorer chooses")


@pytest.mark.parametrize("option", [("--alpha", 0.3), ("--method", "random"), ("--gamma", 0.0), ("--seed", 1)])
def test_a_configuration_is_not_chosen_again(run, made, tmp_path, option):
    path = tmp_path / "c.json"
    assert run("export", "made", "--axis", AXIS, "--to", path).exit_code == 0
    refused(run("export", path, *option, "--to", tmp_path / "d.json"), "is a configuration, whose heads are chosen")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--minutes", "nan"), "minutes is nan"),
        (("--reliability", 2), "reliability is 2"),
        (("--workers", 2), "give --cluster too"),
    ],
)
def test_numbers_that_cannot_be_are_refused_before_anything_is_told(run, tiny_work, options, words):
    assert run("score", "default", "--axes", AXIS, "--name", "t").exit_code == 0
    result = run("score", "default", "--axes", AXIS, "--name", "t", *options)
    refused(result, words)
    assert "expected" not in result.stderr


def test_heads_that_were_named_are_exported(run, made, tmp_path):
    path = tmp_path / "mine.json"
    assert run("export", "made", "--heads", "0.3,5.1", "--to", path).exit_code == 0
    config = PruningConfig.load(path)
    assert (config.pruned, config.method.name, config.method.metric) == (((0, 3), (5, 1)), "by_hand", None)
    refused(run("export", "made", "--heads", "9.9", "--to", path), "head (9, 9) does not exist")
    refused(run("export", "made", "--heads", ",", "--to", path), "no head was given")
