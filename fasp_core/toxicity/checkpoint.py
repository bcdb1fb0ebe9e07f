"""Detoxify's checkpoint files, opened without running any of what they may hold, and checked before use.

A checkpoint is a dict of `config` and `state_dict`. `config["arch"]["args"]` names the base model (`model_type`), the
classes of transformers for model and tokenizer and the number of outputs; `config["dataset"]["args"]["classes"]` names
the first outputs. Detoxify itself unpickles the file whole. So the file is read here as tensors and plain values only,
and what was checked is handed to Detoxify in memory.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from fasp_core.errors import InputError

RELEASES = "https://github.com/unitaryai/detoxify/releases/download"
MAX_BYTES = 4 * 2**30
HARMLESS = re.compile(r".*\.position_ids")  # older transformers saved these numbers 0, 1, 2, … with the weights


@dataclass(frozen=True)
class Checkpoint:
    """The parts of a checkpoint that Detoxify uses; `base` is the name of its base model."""

    path: Path
    base: str
    model_class: type[PreTrainedModel]
    tokenizer_class: type[PreTrainedTokenizerBase]
    outputs: int
    classes: list[str]
    weights: dict[str, torch.Tensor]

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Open a file. Raises InputError for one that is not whole, holds code or is no Detoxify checkpoint."""
        data = _plain_values(path)
        args = _part(path, data, "config", "arch", "args")
        classes = _part(path, data, "config", "dataset", "args").get("classes")
        weights = data.get("state_dict")
        outputs = args.get("num_classes")
        if not isinstance(weights, dict) or not all(isinstance(w, torch.Tensor) for w in weights.values()):
            raise InputError(f"{path}: no 'state_dict' of tensors; it is not a Detoxify checkpoint")
        names = classes if isinstance(classes, list) and all(isinstance(name, str) for name in classes) else []
        if not isinstance(outputs, int) or not 0 < len(names) <= outputs:
            raise InputError(f"{path}: its classes ({classes}) do not name its outputs ({outputs}); get the file again")
        return cls(
            path,
            str(args.get("model_type")),
            _class(path, args.get("model_name"), PreTrainedModel),
            _class(path, args.get("tokenizer_name"), PreTrainedTokenizerBase),
            outputs,
            names,
            {name: weight for name, weight in weights.items() if not HARMLESS.fullmatch(name)},
        )

    def check_fit(self, config: PreTrainedConfig) -> None:
        """Raise InputError unless the weights are exactly those of a model of this config."""
        with torch.device("meta"):
            expected = self.model_class(config).state_dict()
        kind = self.model_class.__name__
        for name, weight in expected.items():
            if name not in self.weights:
                raise InputError(f"{self.path}: lacks the weight '{name}' of a {kind}; get the file again")
            if weight.shape != self.weights[name].shape:
                raise InputError(
                    f"{self.path}: its weights do not fit the base model '{self.base}' ({name}); check its config.json"
                )
        if unexpected := sorted(set(self.weights) - set(expected)):
            raise InputError(f"{self.path}: has besides the weight '{unexpected[0]}' of a {kind}; get the file again")

    def with_base(self, folder: Path) -> io.BytesIO:
        """The checkpoint as Detoxify reads it, with the base model's config and tokenizer in this folder.

        With a folder for `model_type` Detoxify asks no hub.
        """
        args = {
            "model_type": str(folder),
            "model_name": self.model_class.__name__,
            "tokenizer_name": self.tokenizer_class.__name__,
            "num_classes": self.outputs,
        }
        config = {"arch": {"args": args}, "dataset": {"args": {"classes": self.classes}}}
        content = io.BytesIO()
        torch.save({"config": config, "state_dict": self.weights}, content)
        content.seek(0)
        return content


def _plain_values(path: Path) -> dict[str, Any]:
    """What a file holds, if that is a dict of tensors and plain values; nothing in it is run."""
    if _unpacked_bytes(path) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES >> 30} GB, no Detoxify checkpoint; check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on pickles of other kinds, which are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: refused, for it is cut off or holds more than weights and values; get it from {RELEASES}"
        ) from error
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the reader raise whatever error: RuntimeError, struct.error, …
        raise InputError(f"{path}: not a whole Detoxify checkpoint; get the file again") from error


def _unpacked_bytes(path: Path) -> int:
    """The size of a file once it is read; PyTorch's are zip archives, which may unpack to far more than their size."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            return max(size, sum(entry.file_size for entry in archive.infolist()))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return size


def _part(path: Path, data: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    if not isinstance(data, dict):
        raise InputError(f"{path}: no {'.'.join(keys)}; it is not a Detoxify checkpoint")
    return data


def _class(path: Path, name: Any, base: type) -> Any:
    found = getattr(transformers, name, None) if isinstance(name, str) else None
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"{path}: names '{name}', which transformers does not have as a {base.__name__}")
    return found
