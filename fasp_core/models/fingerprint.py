"""The fingerprint of a model: equal for equal config and weights, whatever the files they came from."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import torch
from transformers import PreTrainedModel

# Config entries that change no output: where it came from, how it is stored and what `forward` returns besides.
NOT_ARCHITECTURE = {
    "_model_name_or_path",
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "output_attentions",
    "output_hidden_states",
    "quantization_config",
    "return_dict",
    "transformers_version",
    "use_cache",
}


def model_fingerprint(model: PreTrainedModel, dtype: torch.dtype | None = None) -> str:
    """16 hex digits of a SHA-256 over the architecture's config and all weights, in the order of their names.

    Of each weight its name, dtype, shape and bytes count, so a model rounded to bfloat16 has another fingerprint. With
    `dtype` it is that of the model in this number format.
    """
    weights = model.state_dict()
    names = sorted(weights)
    # hashlib lets go of the interpreter, so a thread per core hashes at a few gigabytes a second.
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(lambda name: _digest(_in_format(weights[name], dtype)), names))
    config = {k: v for k, v in model.config.to_diff_dict().items() if k not in NOT_ARCHITECTURE}
    content = json.dumps([config, *zip(names, digests, strict=True)], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _in_format(weight: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    return weight.to(dtype) if dtype is not None and weight.is_floating_point() else weight


def _digest(weight: torch.Tensor) -> str:
    digest = hashlib.sha256(f"{weight.dtype} {tuple(weight.shape)}".encode())
    digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
