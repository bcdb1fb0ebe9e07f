"""Once registered, transformers' Auto classes open a compact checkpoint, and give what `load_pruned` gives."""

from __future__ import annotations

import pytest
import torch
from helpers import tiny
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer

import fasp_core
from fasp_core.export.checkpoints import load_pruned, save_pruned
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.models.removal import copy_sharing_weights, remove_heads
from fasp_core.selection.select_heads import Selection

HEADS = ((0, 1), (1, 0), (1, 1))


@pytest.fixture(scope="module", params=["llama_grouped", "gpt2"])
def made(request, tmp_path_factory):
    """A language model and the compact checkpoint of it without HEADS."""
    lm, folder = tiny.make_architecture(request.param), tmp_path_factory.mktemp("made") / "compact"
    selection = Selection(HEADS, (), "fasp", "religion", 0.0, 0.4, lm.layout.n_layers, lm.layout.heads_per_layer)
    pruned = remove_heads(copy_sharing_weights(lm.model), HEADS)
    return lm, save_pruned(pruned, folder, PruningConfig.from_selection(selection, lm), tokenizer=lm.tokenizer)


@pytest.fixture
def registered(monkeypatch):
    """The Auto classes know compact checkpoints, for one test."""
    for mapping in (CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING):
        monkeypatch.setattr(mapping, "_extra_content", dict(mapping._extra_content))
    fasp_core.register_compact()
    fasp_core.register_compact()  # again does no harm


def test_without_registration_it_is_refused(made):
    with pytest.raises(ValueError, match="fasp_compact"):
        AutoModelForCausalLM.from_pretrained(made[1])


def test_it_opens_as_load_pruned_does(made, registered):
    lm, folder = made
    ids = torch.tensor([[5, 6, 7, 8]])
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False, revision="main", dtype="auto")
    assert torch.equal(model(ids).logits, load_pruned(folder)(ids).logits)
    assert AutoTokenizer.from_pretrained(folder)("abc")["input_ids"] == lm.tokenizer("abc")["input_ids"]
    config = AutoConfig.from_pretrained(folder)
    assert config.vocab_size == lm.model.config.vocab_size
    context = "n_positions" if lm.model.config.model_type == "gpt2" else "max_position_embeddings"  # lm-eval asks both
    assert getattr(config, context) == lm.max_length


def test_number_format_and_device_are_those_asked_for(made, registered):
    for dtype in (torch.bfloat16, "bfloat16"):
        model = AutoModelForCausalLM.from_pretrained(made[1], dtype=dtype, device_map={"": "cpu"})
        assert model.dtype == torch.bfloat16
        assert model.device.type == "cpu"
