"""Detoxify (Hanu & Unitary 2020): transformers that rate comments; `unbiased` is the published recipe's scorer.

Reads its checkpoint format itself: a dict of `config` and `state_dict`, where `config["arch"]["args"]` names the base
model (`model_type`), the transformers class (`model_name`), the tokenizer's class and the number of outputs, and
`config["dataset"]["args"]["classes"]` the first outputs' labels. The score is the sigmoid of the label toxicity.

Nothing is downloaded. The weights are looked for where torch.hub, and so Detoxify, puts them; config and tokenizer of
the base model in a folder of its name beside the weights, beside the weights, and in the hub's cache.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from huggingface_hub import try_to_load_from_cache
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from .batching import ACTIVATION_BYTES, batches_by_length
from .errors import InputError, nearest
from .models import choose_device

RELEASES = "https://github.com/unitaryai/detoxify/releases/download"
MAX_BYTES = 4 * 2**30
LABEL = "toxicity"
RENAMED = {"toxic": LABEL, "identity_hate": "identity_attack", "severe_toxic": "severe_toxicity"}
HARMLESS = re.compile(r".*\.position_ids")  # older transformers saved these numbers 0, 1, 2, … with the weights


@dataclass(frozen=True)
class Published:
    """A released checkpoint: its file below RELEASES, named with the start of its SHA-256, and its base on the hub."""

    file: str
    base: str

    @property
    def path(self) -> Path:
        """Where torch.hub keeps it."""
        return Path(torch.hub.get_dir(), "checkpoints", Path(self.file).name)


PUBLISHED = {
    "unbiased": Published("v0.3-alpha/toxic_debiased-c7548aa0.ckpt", "FacebookAI/roberta-base"),
    "original": Published("v0.1-alpha/toxic_original-c1212f89.ckpt", "google-bert/bert-base-uncased"),
    "unbiased-small": Published("v0.1.2/unbiased-albert-c8519128.ckpt", "albert/albert-base-v2"),
    "original-small": Published("v0.1.2/original-albert-0e1d6498.ckpt", "albert/albert-base-v2"),
    "multilingual": Published("v0.4-alpha/multilingual_debiased-0b549669.ckpt", "FacebookAI/xlm-roberta-base"),
}
ABOUT = {
    "unbiased": "RoBERTa, trained to rate identity terms by themselves less; the published recipe's scorer",
    "original": "BERT, trained on the Toxic Comment Challenge",
    "unbiased-small": "ALBERT, a tenth of unbiased's size",
    "original-small": "ALBERT, a tenth of original's size",
    "multilingual": "XLM-RoBERTa, seven languages",
}


class DetoxifyScorer:
    """A released model by its name, or a checkpoint by its path.

    Raises InputError where the weights or the base model's files are not on this machine (and says which file goes
    where), and for a checkpoint that is not whole, holds code, or does not fit its base model.
    """

    def __init__(self, which: str = "unbiased", *, device: str = "auto") -> None:
        path = _checkpoint_path(which)
        if which in PUBLISHED:
            self.name, self.ref = f"detoxify-{which}", f"detoxify:{which}"
        else:
            self.name = f"detoxify-{re.sub(r'[^A-Za-z0-9_-]+', '-', path.stem)[:50]}"
            self.ref = f"detoxify:{path}"
        content = _digest(path)
        if which in PUBLISHED and not content.startswith(path.stem.rpartition("-")[2]):
            raise InputError(f"{path}: not the file that was released (its checksum differs); download it again")
        device_ = choose_device(device)
        checkpoint = _Checkpoint.read(path)
        folder = _base_folder(checkpoint.base, path.parent)
        if folder is None:
            raise InputError(f"scorer '{self.ref}': {_base_hint(checkpoint.base, path.parent)}")
        self.tokenizer, config = checkpoint.tokenizer(folder), checkpoint.model_config(folder)
        self.fingerprint = _fingerprint(content, config, self.tokenizer)
        self.model = checkpoint.model(config).float().eval().requires_grad_(False).to(device_)
        self.label = checkpoint.label
        self.longest = _longest_input(config, self.tokenizer)

    @torch.inference_mode()
    def score(self, texts: Sequence[str]) -> np.ndarray:
        """The probability of the label toxicity, float64 (n,); a batch that memory is short for is halved."""
        if not len(texts):
            return np.empty(0)
        ids = self.tokenizer(list(texts), truncation=True, max_length=self.longest)["input_ids"]
        scores = np.empty(len(ids))
        for rows in batches_by_length([len(i) for i in ids], _tokens_per_batch(self.model.config)):
            scores[rows] = self._batch([ids[row] for row in rows])
        return scores

    def _batch(self, ids: list[list[int]]) -> np.ndarray:
        try:
            tokens, mask = _pad(ids, self.tokenizer.pad_token_id)
            logits = self.model(tokens.to(self.model.device), attention_mask=mask.to(self.model.device)).logits
            return torch.sigmoid(logits[:, self.label]).double().cpu().numpy()
        except torch.OutOfMemoryError:
            if len(ids) == 1:
                raise
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        middle = len(ids) // 2
        return np.concatenate([self._batch(ids[:middle]), self._batch(ids[middle:])])


def open_detoxify(which: str = "unbiased", *, device: str = "auto") -> DetoxifyScorer:
    """A `DetoxifyScorer`; the one that was opened last stays open, as long as its file does not change."""
    state = _checkpoint_path(which).stat()
    return _opened(which, device, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)
def _opened(which: str, device: str, *state: int) -> DetoxifyScorer:
    return DetoxifyScorer(which, device=device)


def _checkpoint_path(which: str) -> Path:
    """Where a released model or a file is; raises InputError if it, or what else it needs, is not there."""
    if which in PUBLISHED:
        if hint := how_to_get(which):
            raise InputError(f"scorer 'detoxify:{which}' is not on this machine; {hint}")
        return PUBLISHED[which].path
    path = Path(which).expanduser().absolute()
    if not path.is_file():
        raise InputError(f"scorer 'detoxify:{which}': no such checkpoint file; {nearest(which, PUBLISHED)}")
    return path


def how_to_get(name: str) -> str:
    """The end of a line that says what of a released model is to be put where; "" where it is on this machine."""
    published, base = PUBLISHED[name], PUBLISHED[name].base.rpartition("/")[2]
    folder = published.path.parent
    missing = [] if published.path.is_file() else [f"put {RELEASES}/{published.file} into {folder}"]
    if _base_folder(base, folder) is None:
        missing.append(_base_hint(base, folder))
    return "; ".join(missing)


@dataclass(frozen=True)
class _Checkpoint:
    """A checkpoint's parts, checked; `label` is the output that means toxicity."""

    path: Path
    base: str
    model_class: type[PreTrainedModel]
    tokenizer_class: type[PreTrainedTokenizerBase]
    outputs: int
    label: int
    weights: dict[str, torch.Tensor]

    @classmethod
    def read(cls, path: Path) -> _Checkpoint:
        """Open a file, running none of what it may hold."""
        if _unpacked_bytes(path) > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 30} GB, no Detoxify checkpoint; check the path")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on pickles of other kinds, which are refused anyway
                data = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise InputError(
                f"{path}: refused, for it is cut off or holds more than weights and values; get it from {RELEASES}"
            ) from error
        except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise InputError(f"{path}: not a whole Detoxify checkpoint; get the file again") from error
        args = _part(path, data, "config", "arch", "args")
        classes = _part(path, data, "config", "dataset", "args").get("classes")
        weights = data.get("state_dict")
        outputs = args.get("num_classes")
        if not isinstance(weights, dict) or not all(isinstance(w, torch.Tensor) for w in weights.values()):
            raise InputError(f"{path}: no 'state_dict' of tensors; it is not a Detoxify checkpoint")
        if not isinstance(classes, list) or not isinstance(outputs, int) or not 0 < len(classes) <= outputs:
            raise InputError(f"{path}: its classes ({classes}) do not name its outputs ({outputs}); get the file again")
        labels = [RENAMED.get(name, name) for name in classes]
        if LABEL not in labels:
            raise InputError(f"{path}: has no label '{LABEL}'; {nearest(LABEL, map(str, labels))}")
        return cls(
            path, str(args.get("model_type")), _class(path, args.get("model_name"), PreTrainedModel),
            _class(path, args.get("tokenizer_name"), PreTrainedTokenizerBase), outputs, labels.index(LABEL), weights,
        )  # fmt: skip

    def tokenizer(self, folder: Path) -> PreTrainedTokenizerBase:
        """The base model's tokenizer."""
        return _from_folder(self.tokenizer_class, folder)

    def model_config(self, folder: Path) -> PreTrainedConfig:
        """The base model's config, with this checkpoint's number of outputs."""
        return _from_folder(self.model_class.config_class, folder, num_labels=self.outputs)

    def model(self, config: PreTrainedConfig) -> nn.Module:
        """The model with the checkpoint's weights: all of them, and none that it has no place for."""
        model = self.model_class(config)
        try:
            found = model.load_state_dict(self.weights, strict=False)
        except RuntimeError as error:
            raise InputError(
                f"{self.path}: its weights do not fit the base model '{self.base}'; check its config.json"
            ) from error
        unexpected = [name for name in found.unexpected_keys if not HARMLESS.fullmatch(name)]
        for what, names in (("lacks", found.missing_keys), ("has besides", unexpected)):
            if names:
                raise InputError(
                    f"{self.path}: {what} the weight '{names[0]}' of a {self.model_class.__name__}; get the file again"
                )
        return model


def _unpacked_bytes(path: Path) -> int:
    """How large a file is once it is read; PyTorch's are zip archives, which could hold far more than they are long."""
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


def _from_folder(kind: Any, folder: Path, **options: Any) -> Any:
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:  # the tokenizers library raises plain Exceptions for files it cannot read
        what = " ".join(str(error).split())[:160]
        raise InputError(
            f"{folder}: config or tokenizer cannot be read ({what}); get the base model's files again"
        ) from error


def _base_folder(base: str, beside: Path) -> Path | None:
    """The folder with the config (and tokenizer) of a base model."""
    for folder in (beside / Path(base).name, Path(base), beside):
        if (folder / "config.json").is_file():
            return folder
    for name in [base, *(p.base for p in PUBLISHED.values() if p.base.endswith(f"/{base}"))]:
        try:
            cached = try_to_load_from_cache(name, "config.json")
        except ValueError:  # not a name the hub could have
            continue
        if isinstance(cached, str):
            return Path(cached).parent
    return None


def _base_hint(base: str, beside: Path) -> str:
    return f"put config.json and the tokenizer files of {base} into {beside / Path(base).name}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(content: str, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> str:
    made_by = [content, config.to_diff_dict(), tokenizer.backend_tokenizer.to_str()]
    return hashlib.sha256(json.dumps(made_by, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _longest_input(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens the model has positions for; RoBERTa counts its positions from the padding's id + 1."""
    first = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    return min(tokenizer.model_max_length, config.max_position_embeddings - first)


def _pad(ids: list[list[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, (B, T), padded on the right as these models were trained."""
    tokens = torch.full((len(ids), max(map(len, ids))), pad_id)
    for row, sequence in zip(tokens, ids, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    lengths = torch.tensor([len(sequence) for sequence in ids])
    return tokens, (torch.arange(tokens.shape[1]) < lengths[:, None]).long()


def _tokens_per_batch(config: PreTrainedConfig) -> int:
    """Padded tokens whose activations (of a layer at a time) stay below the bound of all batches."""
    return max(1, ACTIVATION_BYTES // (4 * (12 * config.hidden_size + 4 * config.intermediate_size)))
