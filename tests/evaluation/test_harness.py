"""The LM evaluation harness on the gated model, against log-probabilities read by hand; all offline.

Skipped where lm-eval is not installed (requirements-lm-eval.txt).
"""

from __future__ import annotations

import copy
import math
import os
import statistics
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from helpers import tiny
from helpers.own_task import CHOICE, LAST, ROWS, write_tasks

from fasp_core.errors import Cancelled, InputError
from fasp_core.evaluation.harness import Harness, measure_tasks
from fasp_core.evaluation.harness_quiet import quiet
from fasp_core.evaluation.harness_result import kept_task_rows
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.export.checkpoints import save_pruned
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.files.paths import PROJECT
from fasp_core.models.heads import gate_heads
from fasp_core.models.removal import copy_sharing_weights, remove_heads
from fasp_core.selection.select_heads import Selection

pytestmark = pytest.mark.skipif(
    find_spec("lm_eval") is None, reason="lm-eval is not installed (requirements-lm-eval.txt)"
)
HEADS = ((0, 0), (0, 2), (1, 1), (2, 1))


@pytest.fixture(scope="module")
def lm():
    return tiny.make_language_model(tiny.LLAMA)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """The harness's data library writes nothing outside the test."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


@pytest.fixture
def folder(tmp_path):
    return write_tasks(tmp_path / "tasks")


def log_prob(lm, context, continuation):
    """The log-probability of a continuation, in nats, by one plain pass."""
    before, after = (lm.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (context, continuation))
    logits = lm.model(torch.tensor([before + after])).logits[0].double().log_softmax(-1)
    return float(sum(logits[len(before) + i - 1, token] for i, token in enumerate(after)))


def right(lm):
    """1 or 0 for each row, as `tiny_choice` asks."""
    scores = [[log_prob(lm, row["q"], f" {choice}") for choice in row["choices"]] for row in ROWS]
    return [float(pair.index(max(pair)) == row["gold"]) for pair, row in zip(scores, ROWS, strict=True)]


def test_the_harness_reads_the_gated_model(lm, folder, tmp_path, capsys):
    store = EvaluationStore(tmp_path)
    acc, perplexity = measure_tasks(lm, HEADS, ["tiny_choice", "tiny_last"], folder=folder, store=store)
    assert capsys.readouterr().out == ""
    before = right(lm)
    with gate_heads(lm.model, HEADS):
        after = right(lm)
        nats = [log_prob(lm, row["text"].rpartition(" ")[0], " " + row["text"].rpartition(" ")[2]) for row in ROWS]
    assert before != after
    made = acc.compared
    assert (acc.measure, acc.source) == ("tiny_choice acc", "own task, 12 documents")
    assert (made.before.value, made.after.value) == (statistics.mean(before), statistics.mean(after))
    differences = [a - b for a, b in zip(after, before, strict=True)]
    assert made.change.value == pytest.approx(statistics.mean(differences))
    assert made.change.se == pytest.approx(statistics.stdev(differences) / math.sqrt(12), rel=0.1)
    assert perplexity.compared.after.value == pytest.approx(math.exp(-statistics.mean(nats)), rel=1e-3)
    assert kept_task_rows(store, lm.fingerprint, lm.dtype_name, HEADS) == [acc, perplexity]


def test_nothing_is_measured_twice_and_another_set_shares_the_intact_model(lm, folder, tmp_path, monkeypatch):
    store, asked, measure = EvaluationStore(tmp_path), [], Harness._measure

    def counted(self, name, loaded, stage):
        asked.append(stage)
        return measure(self, name, loaded, stage)

    monkeypatch.setattr(Harness, "_measure", counted)
    rows = measure_tasks(lm, HEADS, ["tiny_choice"], folder=folder, store=store)
    assert asked == ["tiny_choice, intact model", "tiny_choice, without the heads"]
    assert measure_tasks(lm, HEADS, ["tiny_choice"], folder=folder, store=store) == rows
    assert len(asked) == 2
    measure_tasks(lm, HEADS[:1], ["tiny_choice"], folder=folder, store=store)
    assert asked[2:] == ["tiny_choice, without the heads"]
    (row,) = measure_tasks(lm, HEADS, ["tiny_choice"], folder=folder, store=store, limit=5)
    assert row.source == "own task, 5 documents"
    assert len(asked) == 5


@pytest.mark.parametrize("by_size", [True, False])
def test_a_group_is_put_together_as_the_harness_does(lm, folder, by_size):
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    text = CHOICE.replace("rows.jsonl", str(folder / "rows.jsonl"))  # the harness looks in the working directory
    few = text.replace("rows.jsonl", "few.jsonl").replace("tiny_choice", "few")
    (folder / "few.jsonl").write_text("".join((folder / "rows.jsonl").read_text().splitlines(True)[:5]), "utf-8")
    how = f"{{metric: acc, aggregation: mean, weight_by_size: {str(by_size).lower()}}}"
    group = f"group: both\ntask: [tiny_choice, few]\naggregate_metric_list:\n  - {how}\n"
    write_tasks(folder, choice=text, few=few, group=group)
    loaded = TaskManager(include_path=folder, include_defaults=False).load(["both"])
    harness = Harness(lm, {}, None, None, None, only_own=True)
    with quiet():
        (record,) = harness._measure("both", loaded, "both")
        reader = HFLM(pretrained=lm.model, tokenizer=copy.deepcopy(lm.tokenizer))
        theirs = evaluate(reader, loaded, bootstrap_iters=0)["results"]["both"]["acc,none"]
    assert (record["task"], record["metric"], record["n"]) == ("both", "acc", 17)
    assert record["values"][0] == pytest.approx(theirs)


def test_progress_says_the_stage_and_a_stop_ends_it(lm, folder):
    stages = []
    measure_tasks(lm, HEADS, ["tiny_last"], folder=folder, progress=stages.append)
    assert list(dict.fromkeys(event.stage for event in stages)) == [
        "tiny_last, opening",
        "tiny_last, intact model",
        "tiny_last, without the heads",
    ]
    assert (stages[-1].done, stages[-1].total) == (12, 12)
    with pytest.raises(Cancelled):
        measure_tasks(lm, HEADS, ["tiny_last"], folder=folder, stop=lambda: True)


def test_a_template_cannot_leave_its_sandbox(lm, tmp_path):
    from lm_eval import utils

    before = utils.env
    folder = write_tasks(tmp_path / "t", bad=LAST.replace("{{' '+text.split(' ')[-1]}}", "{{''.__class__.__mro__}}"))
    with pytest.raises(InputError, match=r"task 'tiny_last' cannot be opened .*unsafe"):
        measure_tasks(lm, HEADS, ["tiny_last"], folder=folder)
    assert utils.env is before


def test_a_metric_is_never_fetched_as_a_script(lm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.py").write_text("raise SystemExit('run')")
    folder = write_tasks(tmp_path / "t", bad=CHOICE.replace("metric: acc", "metric: mine"))
    with pytest.raises(InputError, match="no metric 'mine' of its own"):
        measure_tasks(lm, HEADS, ["tiny_choice"], folder=folder)


def test_what_is_unknown_or_not_on_this_machine_is_one_line(lm):
    with pytest.raises(InputError, match="no task 'lambada_openia'; did you mean lambada_openai or"):
        measure_tasks(lm, HEADS, ["lambada_openia"])
    with pytest.raises(InputError, match="the data of task 'lambada_openai' are not on this machine"):
        measure_tasks(lm, HEADS, ["lambada_openai"])


def test_a_compact_checkpoint_in_the_harness_s_own_command_line(lm, folder, tmp_path):
    """The line of docs/scorecard.md: what it prints is the accuracy of the gated model."""
    selection = Selection(HEADS, (), "fasp", "religion", 0.0, 0.3, lm.layout.n_layers, lm.layout.heads_per_layer)
    pruned = remove_heads(copy_sharing_weights(lm.model), HEADS)
    save_pruned(pruned, tmp_path / "compact", PruningConfig.from_selection(selection, lm), tokenizer=lm.tokenizer)
    text = (folder / "choice.yaml").read_text().replace("rows.jsonl", str(folder / "rows.jsonl"))
    (folder / "choice.yaml").write_text(text)  # the harness looks for data in the working directory
    line = "import fasp_core; fasp_core.register_compact(); from lm_eval.__main__ import cli_evaluate; cli_evaluate()"
    assert line in (PROJECT / "docs" / "scorecard.md").read_text("utf-8")
    options = ["--model_args", f"pretrained={tmp_path / 'compact'}", "--include_path", folder, "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", line, "--model", "hf", "--tasks", "tiny_choice", *map(str, options)],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "HF_DATASETS_CACHE": str(tmp_path / "datasets")},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    with gate_heads(lm.model, HEADS):
        expected = statistics.mean(right(lm))
    cells = next(row for row in done.stdout.splitlines() if "acc" in row and "tiny_choice" in row).split("|")
    assert float(cells[7]) == pytest.approx(expected, abs=1e-4)
