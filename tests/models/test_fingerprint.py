"""Fingerprints tell models apart by what changes their output, and by nothing else."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import tiny
from transformers import AutoModelForCausalLM

from fasp_core.models.fingerprint import model_fingerprint


@pytest.fixture(params=[tiny.LLAMA, tiny.GPT2], ids=["llama", "gpt2"])
def model(request):
    return tiny.make_language_model(request.param).model


def test_it_is_16_hex_digits_and_survives_saving(model, tmp_path):
    before = model_fingerprint(model)
    assert len(before) == 16
    assert int(before, 16) >= 0
    model.save_pretrained(tmp_path)
    assert model_fingerprint(AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)) == before


def test_the_last_bit_of_any_weight_changes_it(model):
    before = model_fingerprint(model)
    for weight in model.parameters():
        flat = weight.data.view(-1)
        kept = flat[-1].clone()
        flat[-1] = torch.nextafter(kept, torch.tensor(9.0))
        assert model_fingerprint(model) != before
        flat[-1] = kept
    assert model_fingerprint(model) == before


def test_dtype_shape_and_config_change_it(model):
    before = model_fingerprint(model)
    assert model_fingerprint(copy.deepcopy(model).to(torch.bfloat16)) != before
    other = copy.deepcopy(model)
    other.config.max_position_embeddings = 256
    assert model_fingerprint(other) != before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_that_of_another_number_format_needs_no_copy(model, dtype):
    assert model_fingerprint(model, dtype) == model_fingerprint(copy.deepcopy(model).to(dtype))


def test_where_it_lies_and_how_it_is_read_do_not(model):
    before = model_fingerprint(model)
    model.config._name_or_path = "elsewhere"
    model.config.use_cache = not model.config.use_cache
    model.config.output_hidden_states = True
    assert model_fingerprint(model) == before
