"""A model made ready: its device, its name, the number format of its checkpoints."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fasp_core.errors import InputError
from fasp_core.models.language_model import choose_device, model_name


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        ("gpt2", "gpt2"),
        ("EleutherAI/pythia-70m", "eleutherai-pythia-70m"),
        ("/some/where/Model.Q8.gguf", "model.q8"),
        ("a b//c", "a-b-c"),
        ("...", "model"),
    ],
)
def test_names_are_fit_for_files(ref, name):
    assert model_name(ref) == name


def test_a_folder_is_named_by_its_own_name(tmp_path, monkeypatch):
    (tmp_path / "My Model").mkdir()
    monkeypatch.chdir(tmp_path / "My Model")
    assert model_name(".") == "my-model"


def test_the_cpu_is_there_and_nonsense_is_not():
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="unknown device 'tpu'"):
        choose_device("tpu")


@pytest.mark.parametrize(
    ("source", "own", "exported"),
    [
        (torch.bfloat16, torch.float32, torch.bfloat16),  # opened on a CPU
        (torch.float32, torch.bfloat16, torch.bfloat16),  # rounded: more digits would be made up
        (torch.float32, torch.float32, torch.float32),
        (torch.float16, torch.float16, torch.float16),
    ],
)
def test_checkpoints_have_the_smaller_number_format(tiny_llama, source, own, exported):
    assert replace(tiny_llama, source_dtype=source, dtype=own).export_dtype == exported
