"""GGUF files, written here by the gguf library in llama.cpp's names and order of rows."""

from __future__ import annotations

import gguf
import pytest
import torch
from helpers.gguf_file import finish, one_token_more, write_gguf

from fasp_core.errors import InputError
from fasp_core.models.open_model import open_model

TEXT = "Zoë says: hello 👋"


@pytest.fixture(scope="module")
def one_more_token():
    return one_token_more()


@pytest.fixture(scope="module")
def file(one_more_token, tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "Tiny.Q0.gguf", one_more_token)


def logits(lm, text=TEXT):
    return lm.model(**lm.tokenizer(text, return_tensors="pt").to(lm.device)).logits


def refused(ref, **options):
    with pytest.raises(InputError) as caught:
        open_model(ref, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_equals_the_model_it_was_made_of(file, one_more_token):
    lm = open_model(str(file))
    assert lm.name == "tiny.q0"
    assert lm.max_length == 512
    torch.testing.assert_close(logits(lm), logits(one_more_token))
    assert lm.tokenizer(TEXT)["input_ids"] == one_more_token.tokenizer(TEXT)["input_ids"]


def test_can_be_saved_and_opened_again(file, tmp_path):
    lm = open_model(file)
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    assert open_model(tmp_path).fingerprint == lm.fingerprint


def test_prints_nothing(file, capfd):
    open_model(file)
    assert capfd.readouterr() == ("", "")


def test_missing_weights_are_not_filled_up_at_random(one_more_token, tmp_path):
    missing = "model.layers.1.mlp.up_proj.weight"
    file = write_gguf(tmp_path / "x.gguf", one_more_token, without=missing)
    assert f"lacks 1 of the model's weights, first {missing}" in refused(file)


@pytest.mark.parametrize("keep", [5, 100, 3000, -4000])
def test_truncated(file, tmp_path, keep):
    short = tmp_path / "short.gguf"
    short.write_bytes(file.read_bytes()[:keep])
    assert "may be cut short" in refused(short)


@pytest.mark.parametrize("content", [b"", b"GG", b"\x80\x02 pickle"])
def test_another_kind_of_file(tmp_path, content):
    (tmp_path / "x.gguf").write_bytes(content)
    assert "is not a GGUF file" in refused(tmp_path / "x.gguf")


def test_unsupported_architecture(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "nonesuch")
    writer.add_block_count(1)
    finish(writer)
    message = refused(tmp_path / "x.gguf")
    assert "architecture nonesuch is not supported" in message
    assert "llama" in message
