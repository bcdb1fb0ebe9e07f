"""What reaches Detoxify: the parts that were checked and nothing else. Refusals are in test_detoxify."""

from __future__ import annotations

import struct

import pytest
import torch
from helpers.tiny_detoxify import BASES, make_checkpoint

from fasp_core.errors import InputError
from fasp_core.toxicity.checkpoint import Checkpoint


@pytest.mark.parametrize("base", BASES)
def test_the_parts_of_a_checkpoint(tmp_path, base):
    path = make_checkpoint(tmp_path, base, classes=("severe_toxic", "toxic"), outputs=16)
    found = Checkpoint.read(path)
    assert (found.base, found.classes, found.outputs) == (base, ["severe_toxic", "toxic"], 16)
    assert found.model_class.__name__ == f"{BASES[base][0]}ForSequenceClassification"
    data = torch.load(path, weights_only=True)
    assert all(torch.equal(found.weights[name], weight) for name, weight in data["state_dict"].items())


def test_only_checked_parts_are_handed_over(tmp_path):
    path = make_checkpoint(tmp_path)
    data = torch.load(path, weights_only=True)
    data["config"]["arch"]["args"] |= {"huggingface_config_path": "/etc", "state_dict": {}}
    data["state_dict"]["roberta.embeddings.position_ids"] = torch.arange(26)[None]
    torch.save(data | {"extra": "more", "optimizer": {"lr": 0.1}}, path)
    folder = tmp_path / "roberta-base"
    handed = torch.load(Checkpoint.read(path).with_base(folder), weights_only=True)
    assert handed.keys() == {"config", "state_dict"}
    assert handed["config"]["arch"]["args"] == {
        "model_type": str(folder),
        "model_name": "RobertaForSequenceClassification",
        "tokenizer_name": "RobertaTokenizer",
        "num_classes": 2,
    }
    assert "roberta.embeddings.position_ids" not in handed["state_dict"]


def test_names_of_labels_are_text(tmp_path):
    path = make_checkpoint(tmp_path)
    data = torch.load(path, weights_only=True)
    data["config"]["dataset"]["args"]["classes"] = ["toxicity", {"a": 1}]
    torch.save(data, path)
    with pytest.raises(InputError, match="do not name its outputs"):
        Checkpoint.read(path)


def test_weights_of_another_shape_are_named(tmp_path):
    found = Checkpoint.read(make_checkpoint(tmp_path))
    config = found.model_class.config_class.from_pretrained(tmp_path / "roberta-base", num_labels=3)
    with pytest.raises(InputError, match=r"do not fit the base model 'roberta-base' \(classifier\.out_proj\.weight\)"):
        found.check_fit(config)


@pytest.mark.parametrize(
    "error",
    [struct.error("unpack requires 4 bytes"), OverflowError("too large"), RecursionError("deep"), MemoryError()],
)
def test_whatever_a_damaged_file_makes_the_reader_raise_is_one_line(tmp_path, monkeypatch, error):
    def read(*_, **__):
        raise error

    path = make_checkpoint(tmp_path)
    monkeypatch.setattr(torch, "load", read)
    with pytest.raises(InputError, match="not a whole Detoxify checkpoint"):
        Checkpoint.read(path)
