"""Marked tokens of an evaluation's texts: against both models' log-probabilities, one token at a time.

Covers the command `mark`.
"""

from __future__ import annotations

import json

import pytest
import torch
from helpers.command_line import AXIS, refused
from helpers.made_study import make_study
from typer.testing import CliRunner

from fasp_core.cli.app import app
from fasp_core.evaluation import marking
from fasp_core.evaluation.evaluate import evaluate_study
from fasp_core.evaluation.history import marked_texts, measured_sets, paired_texts
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.evaluation.marking import mark_texts
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.models import open_model as models
from fasp_core.models.heads import gate_heads

HEADS = ((0, 1), (1, 2), (2, 3))
SMALL = EvaluationSettings(max_new_tokens=4, blocks=2, texts_per_block=12, windows_per_block=1, window_tokens=24)


@pytest.fixture
def measured(tmp_path, monkeypatch, tiny_llama):
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    monkeypatch.setattr("fasp_core.evaluation.evaluate.study_settings", lambda study: SMALL)
    monkeypatch.setattr(models, "open_model", lambda ref, **_: tiny_llama)
    study = make_study(tmp_path, "t", n_layers=3, heads_per_layer=4)
    study.update(model={**study.manifest.model, "fingerprint": tiny_llama.fingerprint})
    list(evaluate_study(study, tiny_llama, HEADS, [AXIS], metrics=["toxicity"], store=EvaluationStore(tmp_path)))
    (found,) = measured_sets(study)
    return found


def by_hand(lm, prompt, ids, pruned):
    """log p of each of the tokens after the prompt, from one forward pass for each."""
    start = lm.tokenizer(prompt)["input_ids"]
    with gate_heads(lm.model, pruned), torch.no_grad():
        return [
            float(lm.model(torch.tensor([[*start, *ids[:t]]])).logits[0, -1].double().log_softmax(-1)[token])
            for t, token in enumerate(ids)
        ]


def test_they_are_the_log_ratios_of_both_models_and_sum_to_the_text_s(measured, tiny_llama, tmp_path):
    found = measured
    store = EvaluationStore(tmp_path)
    shares = list(mark_texts(tiny_llama, found, AXIS, store, max_new_tokens=SMALL.max_new_tokens))
    assert shares == [0.5, 1.0]
    marked, frame = marked_texts(found, AXIS, tmp_path), paired_texts(found.plan, HEADS, tmp_path)
    assert set(marked) == set(zip(frame["block"], frame["place"], strict=True))
    key = found.streams[AXIS]
    before, after = store.blocks(key, ()), store.blocks(key, HEADS)
    for row in frame.iloc[::5].itertuples():
        for text, part, written in zip(
            marked[row.block, row.place],
            (before, after),
            (row.continuation_before, row.continuation_after),
            strict=True,
        ):
            ids = part[row.block][row.place]["token_ids"]
            intact, pruned = (by_hand(tiny_llama, row.prompt, ids, off) for off in ((), HEADS))
            expected = [q - p for p, q in zip(intact, pruned, strict=True)]
            assert text.log_ratios == pytest.approx(expected, abs=1e-4)
            assert sum(text.log_ratios) == pytest.approx(sum(pruned) - sum(intact), abs=1e-3)
            assert text.tokens[0] == row.prompt
            tokens = [token for token in text.tokens[1:] if token not in tiny_llama.tokenizer.all_special_tokens]
            assert "".join(tokens).startswith(written)
    assert max(abs(ratio) for pair in marked.values() for text in pair for ratio in text.log_ratios) > 0.1


def test_nothing_is_read_twice(measured, tiny_llama, tmp_path, monkeypatch):
    found = measured
    how = {"store": EvaluationStore(tmp_path), "max_new_tokens": SMALL.max_new_tokens}
    steps = mark_texts(tiny_llama, found, AXIS, **how)
    next(steps)
    steps.close()
    assert len({block for block, _ in marked_texts(found, AXIS, tmp_path)}) == 1
    read, whole = [], marking._marked
    monkeypatch.setattr(marking, "_marked", lambda *parts: read.append(1) or whole(*parts))
    for _ in range(2):
        assert list(mark_texts(tiny_llama, found, AXIS, **how))[-1] == 1
    assert len(read) == 1


def test_the_command_marks_what_was_evaluated(measured, tmp_path):
    def run(*args):
        return CliRunner().invoke(app, [str(arg) for arg in args])

    asked = ("mark", "t", "--heads", "0.1,1.2,2.3", "--axis", AXIS)
    made = json.loads(run(*asked, "--json").stdout)
    assert len(made["texts"]) == 2 * 24
    assert {text["model"] for text in made["texts"]} == {"intact", "pruned"}
    assert "log-ratio" in run(*asked).stdout
    refused(run("mark", "t", "--heads", "0.0", "--axis", AXIS), "were not measured on valid")
