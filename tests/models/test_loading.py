"""Silence while a model loads, and one line for whatever is wrong in its files."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from transformers import modeling_gguf_pytorch_utils as reader
from transformers.utils import logging

from fasp_core.errors import InputError
from fasp_core.models.loading import check_complete, is_compact, quiet_loading, unreadable


def settings():
    return logging.get_verbosity(), logging.is_progress_bar_enabled(), reader.tqdm


def test_transformers_is_silent_inside_and_as_it_was_outside():
    before = settings()
    with quiet_loading():
        with quiet_loading():
            assert settings()[:2] == (logging.CRITICAL, False)
            assert list(reader.tqdm([1, 2], desc="no bar")) == [1, 2]
        assert settings()[:2] == (logging.CRITICAL, False)
    assert settings() == before
    with pytest.raises(ZeroDivisionError), quiet_loading():
        raise ZeroDivisionError
    assert settings() == before


@pytest.mark.parametrize(
    ("missing", "unexpected", "message"),
    [
        (["b", "a"], [], "^m lacks 2 of the model's weights, first a; fetch it again$"),
        (
            [],
            ["l.0.q_proj.bias"],
            "^m holds 1 weights that the model of its config has no place for, first l.0.q_p",
        ),
        ([], ["h.0.attn.bias", "l.0.k_proj.bias", "rotary_emb.inv_freq"], "holds 1 weights .* first l.0.k_proj.bias"),
    ],
)
def test_weights_must_be_those_of_the_model(missing, unexpected, message):
    with pytest.raises(InputError, match=message):
        check_complete("m", {"missing_keys": missing, "unexpected_keys": unexpected})


def test_old_masks_and_position_numbers_are_no_weights():
    names = ["h.0.attn.bias", "h.0.attn.masked_bias", "l.0.attention.bias", "embeddings.position_ids", "r.inv_freq"]
    check_complete("m", {"missing_keys": [], "unexpected_keys": names})


def test_a_compact_checkpoint_says_so(tmp_path):
    for metadata, expected in ((None, False), ({"fasp_form": "compact"}, True), ({"fasp_form": "other"}, False)):
        save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", metadata)
        assert is_compact(tmp_path) == expected


def test_what_is_wrong_is_said_truly():
    assert "may be cut short" in str(unreadable("m", OSError("bad\nmore")))
    for error in (ImportError("no gptq"), ValueError("run `pip install gptq`")):
        message = str(unreadable("m", error))
        assert "needs a library that is not here" in message
        assert "fetch it again" not in message
