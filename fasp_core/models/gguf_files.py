"""GGUF files: read into an ordinary float32 model and tokenizer, or refused in one line.

transformers unpacks the quantized tensors, but the model it returns cannot be saved; here the weights move to a
model built from the plain config, which can be saved, pruned and exported like any other.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers import modeling_gguf_pytorch_utils as reader

from fasp_core.errors import InputError
from fasp_core.models.loading import Reported, check_complete, unreadable

MAGIC = b"GGUF"
# Config entries that describe the file and not the model.
FILE_ENTRIES = ("quantization_config", "_model_name_or_path")


def read_gguf(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The float32 model and the tokenizer of a GGUF file; takes some 15 s per 100 M parameters.

    Raises InputError for a file that is not GGUF, is cut short or damaged, or holds an unsupported architecture.
    """
    folder = str(path.parent)
    options: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    try:
        with open(path, "rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise InputError(f"{path} is not a GGUF file (it does not begin with 'GGUF'); fetch it again")
        loaded = AutoModelForCausalLM.from_pretrained(folder, **options, dtype=torch.float32, output_loading_info=True)
        packed, report = cast(Reported, loaded)
        check_complete(path, report)
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    except InputError:
        raise
    # Damage makes the readers raise whatever error: ValueError, IndexError, UnicodeDecodeError, …
    except Exception as error:
        if "is not supported yet" in str(error):
            known = ", ".join(sorted(reader.GGUF_SUPPORTED_ARCHITECTURES))
            raise InputError(f"{path}: {error} Supported: {known}") from error
        raise unreadable(path, error) from error
    return _plain(packed), tokenizer


def _plain(packed: PreTrainedModel) -> PreTrainedModel:
    """The same weights in a model that knows nothing of the file it came from."""
    config = copy.deepcopy(packed.config)
    for entry in FILE_ENTRIES:
        if hasattr(config, entry):
            delattr(config, entry)
    config._name_or_path = ""
    model = type(packed)(config)
    model.load_state_dict(packed.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = copy.deepcopy(packed.generation_config)
    return model
