"""Detoxify's real loading path, offline, on tiny checkpoints in its format; scores against transformers by hand."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch
import transformers
from helpers.tiny_detoxify import BASES, make_checkpoint

from fasp_core.errors import InputError
from fasp_core.toxicity import classifying, detoxify
from fasp_core.toxicity.detoxify import PUBLISHED, DetoxifyScorer, Published
from fasp_core.toxicity.scorers import default_scorer, list_scorers, open_scorer, score_texts

TEXTS = ["you are bad", "a", "the quick brown fox", "", "so it goes " * 30, "good day", "zz zz zz zz"]


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty place of torch.hub's and no cache of the hub's, so that what this machine has makes no difference."""
    monkeypatch.setattr(detoxify, "try_to_load_from_cache", lambda *names: None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def by_hand(path, base, label):
    """Each text by itself, no padding, as Detoxify's own predict does it; long texts are cut on the left."""
    data = torch.load(path, weights_only=True)
    kind = BASES[base][0]
    config = getattr(transformers, f"{kind}Config").from_pretrained(
        path.parent / base, num_labels=data["config"]["arch"]["args"]["num_classes"]
    )
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    model.load_state_dict(data["state_dict"])
    tokenizer = getattr(transformers, f"{kind}Tokenizer").from_pretrained(path.parent / base, truncation_side="left")
    longest = 24  # of all three: RoBERTa keeps two of its positions for itself
    with torch.no_grad():
        return [
            torch.sigmoid(model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=longest))[0])[
                0, label
            ]
            for text in TEXTS
        ]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    ("classes", "outputs", "label"),
    [(("toxicity", "insult"), 2, 0), (("severe_toxic", "obscene", "toxic"), 3, 2), (("toxicity", "threat"), 16, 0)],
)
def test_scores_are_those_of_transformers(tmp_path, base, classes, outputs, label):
    path = make_checkpoint(tmp_path, base, classes=classes, outputs=outputs)
    scorer = open_scorer(f"detoxify:{path}", device="cpu")
    scores = score_texts(scorer, TEXTS)
    assert scores.dtype == np.float64
    assert scores == pytest.approx(np.array(by_hand(path, base, label)), abs=1e-6)
    assert np.ptp(scores) > 0.01  # the label's output does depend on the text
    assert scorer.model.dtype == torch.float32
    assert scorer.score([]).shape == (0,)


def test_of_a_text_that_is_too_long_the_end_is_rated(tmp_path):
    """Two continuations of one long prompt are two texts."""
    scorer = DetoxifyScorer(str(make_checkpoint(tmp_path)))
    prompt = "so it goes " * 30
    kind, unkind, short = scorer.score([f"{prompt}good day", f"{prompt}you are bad", "you are bad"])
    assert abs(kind - unkind) > 1e-3
    assert scorer.score(["zz" + f"{prompt}you are bad"])[0] == pytest.approx(unkind, abs=1e-6)
    assert abs(short - unkind) > 1e-3


def test_half_precision_weights_compute_in_float32(tmp_path):
    path = make_checkpoint(tmp_path)
    data = torch.load(path, weights_only=True)
    data["state_dict"] = {name: weight.half() for name, weight in data["state_dict"].items()}
    torch.save(data, path)
    assert DetoxifyScorer(str(path)).model.dtype == torch.float32


def test_old_position_ids_are_allowed_and_nothing_else_is(tmp_path):
    path = make_checkpoint(tmp_path)
    expected = DetoxifyScorer(str(path)).score(TEXTS)
    data = torch.load(path, weights_only=True)
    data["state_dict"]["roberta.embeddings.position_ids"] = torch.arange(26)[None]
    torch.save(data, path)
    assert DetoxifyScorer(str(path)).score(TEXTS).tolist() == expected.tolist()

    data["state_dict"]["roberta.pooler.weight"] = torch.zeros(2)
    torch.save(data, path)
    with pytest.raises(InputError, match=r"has besides the weight 'roberta\.pooler\.weight'"):
        DetoxifyScorer(str(path))
    del data["state_dict"]["roberta.pooler.weight"], data["state_dict"]["classifier.dense.bias"]
    torch.save(data, path)
    with pytest.raises(InputError, match=r"lacks the weight 'classifier\.dense\.bias'"):
        DetoxifyScorer(str(path))
    data["state_dict"]["classifier.dense.bias"] = torch.zeros(3)
    torch.save(data, path)
    with pytest.raises(InputError, match="do not fit the base model 'roberta-base'"):
        DetoxifyScorer(str(path))


def test_a_batch_that_memory_is_short_for_is_halved(tmp_path, monkeypatch):
    path = make_checkpoint(tmp_path)
    scorer = DetoxifyScorer(str(path))
    expected, forward, sizes = scorer.score(TEXTS), scorer.model.forward, []

    def short_of_memory(input_ids, **kwargs):
        sizes.append(len(input_ids))
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("full")
        return forward(input_ids, **kwargs)

    monkeypatch.setattr(scorer.model, "forward", short_of_memory)
    assert scorer.score(TEXTS) == pytest.approx(expected, abs=1e-6)
    assert sizes[0] == len(TEXTS)
    monkeypatch.setattr(classifying, "tokens_per_batch", lambda config: 30)
    sizes.clear()
    assert scorer.score(TEXTS) == pytest.approx(expected, abs=1e-6)
    assert sizes[:2] == [1, 1]  # the longest texts first, as many as the bound allows


def test_fingerprint_is_of_weights_config_and_tokenizer(tmp_path):
    path = make_checkpoint(tmp_path)
    scorer = DetoxifyScorer(str(path))
    assert re.fullmatch(r"[0-9a-f]{16}", scorer.fingerprint)
    assert (scorer.name, scorer.ref) == ("detoxify-tiny", f"detoxify:{path}")
    assert open_scorer(scorer.ref).fingerprint == scorer.fingerprint
    assert open_scorer(scorer.ref) is open_scorer(scorer.ref)  # a slider's next step does not load it again
    (tmp_path / "b").mkdir()
    other = DetoxifyScorer(str(make_checkpoint(tmp_path / "b", classes=("toxicity", "threat"))))
    assert other.fingerprint != scorer.fingerprint


class Malice:
    """What a pickled checkpoint could hold: a call to be made on loading."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_code_in_a_checkpoint_is_not_run(tmp_path, form):
    path, sign = make_checkpoint(tmp_path), tmp_path / "was-run"
    data = torch.load(path, weights_only=True) | {"extra": Malice(sign)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(data["extra"]))
    else:
        torch.save(data, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(InputError, match="refused") as caught:
        DetoxifyScorer(str(path))
    assert "\n" not in str(caught.value)
    assert not sign.exists()


def test_what_is_no_whole_checkpoint_is_refused_in_one_line(tmp_path):
    path = make_checkpoint(tmp_path)
    whole = path.read_bytes()
    data = torch.load(path, weights_only=True)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10**7)
    broken = [b"", whole[: len(whole) // 2], whole[:-100], b"\0" * 10**6, b"not a checkpoint", bomb.read_bytes()]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(InputError, match=re.escape(str(path))) as caught:
            DetoxifyScorer(str(path))
        assert "\n" not in str(caught.value)

    def arch(**changes):
        return data["config"]["arch"] | {"args": data["config"]["arch"]["args"] | changes}

    def config(**changes):
        return {"config": data["config"] | changes}

    wrong = {
        r"no config\.arch\.args": {"config": {}},
        r"no config\.dataset\.args": config(dataset=None),
        "do not name its outputs": config(dataset={"args": {"classes": "toxicity"}}),
        "has no label 'toxicity'": config(dataset={"args": {"classes": ["insult", "threat"]}}),
        "no 'state_dict' of tensors": {"state_dict": {"a": 1}},
        "names 'AutoModel'": config(arch=arch(model_name="AutoModel")),
        "names 'pipeline'": config(arch=arch(tokenizer_name="pipeline")),
        "put config.json and the tokenizer files of nowhere into": config(arch=arch(model_type="nowhere")),
    }
    for message, changes in wrong.items():
        torch.save(data | changes, path)
        with pytest.raises(InputError, match=message) as caught:
            DetoxifyScorer(str(path))
        assert "\n" not in str(caught.value)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="not a Detoxify checkpoint"):
        DetoxifyScorer(str(path))


def test_absent_it_changes_nothing_but_a_hint(hub_cache):
    assert default_scorer() == "embedded"
    assert open_scorer().name == "embedded"
    hints = {status.ref: status.hint for status in list_scorers()}
    assert all(hints[f"detoxify:{name}"].startswith("put https://github.com/unitaryai/detoxify/") for name in PUBLISHED)
    with pytest.raises(
        InputError, match=r"'detoxify:unbiased' is not on this machine; put \S+c7548aa0.ckpt into"
    ) as caught:
        open_scorer("detoxify:unbiased")
    assert f"; put config.json and the tokenizer files of roberta-base into {hub_cache}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_present_it_is_the_default(hub_cache, monkeypatch):
    made = make_checkpoint(hub_cache)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()[:8]
    made.rename(hub_cache / f"tiny-{digest}.ckpt")
    monkeypatch.setitem(
        PUBLISHED, "unbiased", Published(f"https://example.org/tiny-{digest}.ckpt", "FacebookAI/roberta-base")
    )
    scorer = open_scorer()
    assert (scorer.name, scorer.ref) == ("detoxify-unbiased", "detoxify:unbiased")
    assert next(s.ref for s in list_scorers() if s.ref.startswith("detoxify:") and s.available) == "detoxify:unbiased"
    (hub_cache / "roberta-base" / "config.json").rename(hub_cache / "elsewhere.json")
    assert default_scorer() == "embedded"
    with pytest.raises(InputError, match=r"put config\.json and the tokenizer files of roberta-base into"):
        open_scorer("detoxify:unbiased")


def test_weights_that_are_not_those_released_are_refused(hub_cache):
    make_checkpoint(hub_cache, name=PUBLISHED["unbiased"].path.name)
    with pytest.raises(InputError, match="not the file that was released"):
        open_scorer("detoxify:unbiased")


def test_a_missing_checkpoint_and_an_unknown_device(tmp_path):
    with pytest.raises(InputError, match="no such checkpoint file; did you mean 'unbiased'"):
        open_scorer("detoxify:unbiasd")
    with pytest.raises(InputError, match="unknown device 'tpu'"):
        open_scorer(f"detoxify:{make_checkpoint(tmp_path)}", device="tpu")
