"""Sizes are those of the files: by hand for a small model, and as a compact checkpoint's header lists its weights."""

from __future__ import annotations

import json

import pytest
import torch
from helpers import tiny

from fasp_core.errors import InputError
from fasp_core.evaluation.compensation import PrunedModel
from fasp_core.export.checkpoints import export_checkpoint
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.models.loading import WEIGHTS
from fasp_core.models.size import model_size, sizes
from fasp_core.selection.select_heads import Selection

HEADS = ((0, 0), (1, 2), (1, 3))


def test_a_small_llama_by_hand(tiny_llama):
    """Width 32, heads of 8, two to a key/value head: a query head is a slice of q and o, 2 · 8 · 32 = 512 weights.

    Heads 2 and 3 of layer 1 are a whole group, whose key and value go too: 512 more.
    """
    before, after = sizes(tiny_llama, HEADS)
    assert before[0] == sum(weight.numel() for weight in tiny_llama.model.parameters())
    assert before[0] - after[0] == 3 * 512 + 512
    assert (before[1], after[1]) == (4 * before[0], 4 * after[0])  # float32
    assert model_size(tiny_llama.model, torch.bfloat16) == (before[0], 2 * before[0])


def exported(lm, folder, compensate):
    """(parameters and buffers, bytes) that the header of an exported file lists: safetensors' own format."""
    layout = lm.layout
    selection = Selection(HEADS, (), "fasp", "religion", 0.1, 0.5, layout.n_layers, layout.heads_per_layer)
    config = PruningConfig.from_selection(selection, lm, compensate=compensate)
    export_checkpoint(lm, config, folder, form="compact")
    raw = (folder / WEIGHTS).read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    return sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in header.values() if "dtype" in entry)


@pytest.mark.parametrize("kind", ["llama_grouped", "gpt2"])
@pytest.mark.parametrize("compensate", ["none", "mean"])
def test_bytes_are_those_of_the_exported_file(kind, compensate, tmp_path, short_calibration_text):
    lm = tiny.make_architecture(kind)
    fitted = PrunedModel(lm, HEADS, compensate).fitted
    assert sizes(lm, HEADS, fitted)[1][1] == exported(lm, tmp_path / "compact", compensate)


def test_heads_that_do_not_exist_are_refused(tiny_llama):
    with pytest.raises(InputError, match="does not exist"):
        sizes(tiny_llama, [(9, 0)])
