"""Any sequence classifier as scorer: its numbers against transformers' pipeline, and one line for what it refuses."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
import torch
import transformers
from helpers.tiny_detoxify import SIZE, make_tokenizer
from safetensors.torch import load_file
from transformers import pipeline

from fasp_core.access import VIEWER
from fasp_core.errors import InputError
from fasp_core.jobs.jobs import start_job
from fasp_core.study.manifest import SHARD_PATTERN
from fasp_core.toxicity import hf_classifier
from fasp_core.toxicity.hf_classifier import HfScorer
from fasp_core.toxicity.scorers import list_scorers, open_scorer, reopen_scorer, score_texts, scorer_names

TEXTS = ["you are bad", "a", "the quick brown fox", "", "good day", "zz zz zz zz"]
LONG = "so it goes " * 30
KINDS = ("Bert", "Roberta", "GPT2")


def make_classifier(folder, kind="Bert", labels=("neutral", "toxic"), problem=None, **config):
    """A random classifier as `save_pretrained` writes it."""
    tokenizer = make_tokenizer("Roberta" if kind == "GPT2" else kind)
    size = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 26} if kind == "GPT2" else SIZE
    positions = {} if kind == "GPT2" else {"max_position_embeddings": 26}
    made = getattr(transformers, f"{kind}Config")(
        **size,
        **positions,
        vocab_size=len(tokenizer),
        pad_token_id=None if kind == "GPT2" else tokenizer.pad_token_id,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        problem_type=problem,
        **({"initializer_range": 0.5} if kind == "GPT2" else {}),
        **config,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind}ForSequenceClassification")(made)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def by_transformers(folder, label, texts):
    """The label's probability by transformers' own pipeline, one text at a time."""
    rate = pipeline("text-classification", str(folder), device="cpu", top_k=None)
    return np.array([{row["label"]: row["score"] for row in rate([text])[0]}[label] for text in texts])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("problem", [None, "single_label_classification", "multi_label_classification"])
def test_scores_are_those_of_transformers_own_pipeline(tmp_path, kind, problem):
    folder = make_classifier(tmp_path / "made", kind, ("fine", "Toxic", "hate"), problem)
    texts = [text for text in TEXTS if text] if kind == "GPT2" else TEXTS  # its pipeline fails for the empty text
    for label in ("Toxic", "hate"):
        scorer = open_scorer(f"hf:{folder}#{label}", device="cpu")
        scores = score_texts(scorer, texts)
        assert scores.dtype == np.float64
        assert scores == pytest.approx(by_transformers(folder, label, texts), abs=1e-6)
        assert np.ptp(scores) > 1e-3
    assert open_scorer(f"hf:{folder}").label == "Toxic"
    assert score_texts(scorer, TEXTS).shape == (len(TEXTS),)
    assert scorer.score([]).shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_text_that_is_too_long_the_end_is_rated(tmp_path, kind):
    scorer = HfScorer(str(make_classifier(tmp_path, kind)), device="cpu")
    kind_end, unkind, same = scorer.score([f"{LONG}good day", f"{LONG}you are bad", f"zz{LONG}you are bad"])
    assert abs(kind_end - unkind) > 1e-4
    assert unkind == pytest.approx(same, abs=1e-6)
    assert scorer.longest == (24 if kind == "Roberta" else 26)


def test_two_labels_share_a_softmax_and_have_a_sigmoid_each(tmp_path):
    one = make_classifier(tmp_path / "one", problem="single_label_classification")
    toxic, neutral = (HfScorer(f"{one}#{label}").score(TEXTS) for label in ("toxic", "neutral"))
    assert toxic + neutral == pytest.approx(1)
    many = make_classifier(tmp_path / "many", problem="multi_label_classification")
    toxic, neutral = (HfScorer(f"{many}#{label}").score(TEXTS) for label in ("toxic", "neutral"))
    assert np.abs(toxic + neutral - 1).max() > 0.01


@pytest.mark.parametrize(
    ("labels", "problem", "message"),
    [
        (("negative", "positive"), None, r"say which label is the score, as in hf:\S+#positive; known: negative, pos"),
        (("toxic", "Toxicity"), None, "say which label"),
        (("toxic",), None, 'single output .* write "problem_type": "multi_label_classification" into its config.json'),
        (("toxic",), "regression", "predicts a number, not the probability of a label"),
        (("toxic", "b"), "regression", "predicts a number"),
    ],
)
def test_what_is_no_clear_probability_is_refused(tmp_path, labels, problem, message):
    folder = make_classifier(tmp_path, labels=labels, problem=problem)
    with pytest.raises(InputError, match=message):
        HfScorer(str(folder))


def test_a_single_output_that_says_it_is_a_label(tmp_path):
    folder = make_classifier(tmp_path, labels=("toxic",), problem="multi_label_classification")
    assert HfScorer(str(folder)).score(TEXTS) == pytest.approx(by_transformers(folder, "toxic", TEXTS), abs=1e-6)


def test_an_unknown_label_gets_the_list(tmp_path):
    folder = make_classifier(tmp_path, labels=("joy", "anger"))
    with pytest.raises(InputError, match=r"has no label 'angr'; did you mean 'anger'\? known: anger, joy"):
        HfScorer(f"{folder}#angr")
    assert HfScorer(f"{folder}#ANGER").label == "anger"


def test_its_names_and_its_fingerprint(tmp_path, monkeypatch):
    folder = make_classifier(tmp_path / "My Model")
    monkeypatch.chdir(tmp_path)
    scorer = open_scorer("hf:My Model")
    assert (scorer.name, scorer.ref) == ("hf-my-model-toxic", f"hf:{folder}#toxic")
    assert SHARD_PATTERN.fullmatch(f"toxicity.{scorer.name}.race_ethnicity.00000.parquet")
    assert re.fullmatch(r"[0-9a-f]{16}", scorer.fingerprint)
    assert open_scorer(scorer.ref) is open_scorer(scorer.ref)
    assert reopen_scorer(scorer.name, scorer.ref, scorer.fingerprint, study="s").fingerprint == scorer.fingerprint
    others = {
        open_scorer(f"hf:{folder}#neutral").fingerprint,
        open_scorer(f"hf:{make_classifier(tmp_path / 'b', problem='multi_label_classification')}").fingerprint,
        open_scorer(f"hf:{make_classifier(tmp_path / 'c', 'Roberta')}").fingerprint,
    }
    assert len(others - {scorer.fingerprint}) == 3
    with pytest.raises(InputError, match="was scored with another"):
        reopen_scorer(scorer.name, f"hf:{tmp_path / 'c'}", scorer.fingerprint, study="s")


class Malice:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_weights_are_read_as_tensors_only(tmp_path):
    folder = make_classifier(tmp_path / "made")
    expected = HfScorer(str(folder)).score(TEXTS)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert HfScorer(str(folder)).score(TEXTS) == pytest.approx(expected, abs=1e-7)
    sign = tmp_path / "was-run"
    torch.save(weights | {"extra": Malice(sign)}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be read as a model") as caught:
        HfScorer(str(folder))
    assert "\n" not in str(caught.value)
    assert not sign.exists()


def test_code_beside_a_model_is_not_run(tmp_path):
    folder = make_classifier(tmp_path / "made")
    sign = tmp_path / "was-run"
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(sign)!r})\nclass Config: ...\nclass Model: ...\n")
    config = json.loads((folder / "config.json").read_text())
    code = {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": code}))
    HfScorer(str(folder))  # the known architecture is used
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": code, "model_type": "evil"}))
    with pytest.raises(InputError) as caught:
        HfScorer(str(folder))
    assert "\n" not in str(caught.value)
    assert not sign.exists()


def test_what_is_not_whole_is_refused_in_one_line(tmp_path):
    folder = make_classifier(tmp_path / "made")
    whole = (folder / "model.safetensors").read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"\0" * 999):
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(InputError) as caught:
            HfScorer(str(folder))
        assert "\n" not in str(caught.value)
    encoder = transformers.BertModel(transformers.BertConfig.from_pretrained(folder))
    encoder.save_pretrained(folder)
    with pytest.raises(InputError, match="lacks 2 of the model's weights, first classifier"):
        HfScorer(str(folder))
    (folder / "config.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read"):
        HfScorer(str(folder))


def test_what_is_not_on_this_machine_is_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(hf_classifier, "try_to_load_from_cache", lambda *names: None)
    for where in ("owner/toxic-model", "no such folder", "", "#toxic"):
        with pytest.raises(InputError, match="hf download OWNER/NAME"):
            open_scorer(f"hf:{where}")
    with pytest.raises(InputError, match=r"holds no config\.json"):
        open_scorer(f"hf:{tmp_path}")


def test_a_model_of_the_hubs_cache_is_opened_by_its_name(tmp_path, monkeypatch):
    folder = make_classifier(tmp_path)
    monkeypatch.setattr(hf_classifier, "try_to_load_from_cache", lambda name, file: str(folder / file))
    scorer = open_scorer("hf:owner/toxic-model")
    assert (scorer.name, scorer.ref) == ("hf-owner-toxic-model-toxic", "hf:owner/toxic-model#toxic")


def test_it_is_listed_and_visitors_start_nothing_with_it(monkeypatch):
    assert "hf:FOLDER_OR_ID#LABEL" in [status.ref for status in list_scorers()]
    assert all(name.islower() for name in scorer_names())
    monkeypatch.setenv(VIEWER, "1")
    with pytest.raises(InputError, match="this app is for looking"):
        start_job(["score", "--scorer=hf:/etc", "--", "default"], key="k", title="t")
