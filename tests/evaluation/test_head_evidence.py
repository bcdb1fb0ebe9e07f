"""Evidence is of the texts that the Heads page shows for a head, and the command `evidence` prints it."""

from __future__ import annotations

import json

import pytest
from helpers import tiny
from helpers.command_line import AXIS, refused
from helpers.made_study import make_study
from typer.testing import CliRunner

from fasp_core.cli.app import app
from fasp_core.evaluation.head_evidence import head_evidence
from fasp_core.models import open_model as models
from fasp_core.models.heads import gate_heads
from fasp_core.passes.coupling import continuation_log_probs
from fasp_core.passes.sampling import encode_prompts
from fasp_core.stats.head_detail import most_changed
from fasp_core.study.views import axis_samples

HEAD = (1, 2)


@pytest.fixture(scope="module")
def lm():
    return tiny.make_language_model(tiny.LLAMA)


@pytest.fixture
def study(tmp_path, monkeypatch, lm):
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "open_model", lambda ref, **_: lm)
    study = make_study(tmp_path, "t", n_layers=3, heads_per_layer=4)
    study.update(model={**study.manifest.model, "fingerprint": lm.fingerprint})
    return study


def test_it_is_of_the_texts_that_the_head_changes_most(study, lm):
    found = head_evidence(study, lm, AXIS, HEAD, most=3)
    texts = most_changed(axis_samples(study, AXIS), study.samples(AXIS), lm.layout.flat_id(*HEAD), most=3)
    for row, (_, text) in zip(found, texts.iterrows(), strict=True):
        assert (row.group, row.toxicity) == (text["group"], text["toxicity"])
        assert "".join(row.tokens[: row.n_prompt]) == text["prompt"]
        (prompt,), _ = encode_prompts(lm, [text["prompt"]], 20)
        end = [[int(text["continuation"].split()[-1])]]  # a made study's i-th continuation is the token i
        (before,) = continuation_log_probs(lm, [prompt], end)
        with gate_heads(lm.model, off=[HEAD]):
            (after,) = continuation_log_probs(lm, [prompt], end)
        assert row.log_ratios == pytest.approx([after[0] - before[0]], abs=1e-5)
        assert [len(weights) for weights in row.attention] == list(range(1, len(row.tokens) + 1))
        assert all(sum(weights) == pytest.approx(1, abs=1e-3) for weights in row.attention)


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_the_command_gives_the_same_as_json_as_a_file_and_for_people(study, lm, tmp_path):
    asked = ("evidence", "t", "--axis", AXIS, "--head", "1.2", "--texts", 2)
    result = run(*asked, "--json", "--to", tmp_path / "e.json")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert json.loads((tmp_path / "e.json").read_text()) == made
    assert (made["axis"], made["head"], len(made["texts"])) == (AXIS, [1, 2], 2)
    expected = head_evidence(study, lm, AXIS, HEAD, most=1)[0].log_ratios
    assert made["texts"][0]["log_ratios"] == pytest.approx(expected, abs=1e-4)
    assert run(*asked).stdout.count("log-ratio") == 4
    refused(run("evidence", "t", "--axis", AXIS, "--head", "1.2,1.3"), "'1.2,1.3' names 2")
    refused(run("evidence", "t", "--axis", AXIS, "--head", "9.0"), "does not exist")
