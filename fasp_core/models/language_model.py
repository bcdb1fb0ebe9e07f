"""A causal language model with its tokenizer and the layout of its heads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fasp_core.errors import InputError
from fasp_core.models.batching import embedding_rows
from fasp_core.models.fingerprint import model_fingerprint
from fasp_core.models.heads import HeadLayout
from fasp_core.models.placing import SPLIT, laid_over_gpus

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A model ready to be scored: in eval mode, its weights frozen, its tokenizer padding on the left.

    `ref` opens it again, `name` is fit for a file name, `fingerprint` (16 hex digits) is that of the config and
    weights it was opened with, `max_length` the context length in tokens (None where there is no limit), `source_dtype`
    the number format of the files it was read from.
    """

    ref: str
    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    layout: HeadLayout
    device: torch.device
    dtype: torch.dtype
    fingerprint: str
    max_length: int | None
    source_dtype: torch.dtype

    def __repr__(self) -> str:
        return f"<LanguageModel {self.name}: {self.layout!r}, {self.dtype_name} on {self.device}>"

    @property
    def export_dtype(self) -> torch.dtype:
        """The number format of its checkpoints: that of its files, or its own where that is the smaller one."""
        return min(self.source_dtype, self.dtype, key=lambda dtype: dtype.itemsize)

    @property
    def dtype_name(self) -> str:
        """Its number format as it is asked for: `float32`."""
        return str(self.dtype).removeprefix("torch.")

    def fitting(self, tokens: int) -> int:
        """So many tokens, or as many as the model reads at once where those are fewer."""
        return tokens if self.max_length is None else min(tokens, self.max_length)

    @property
    def precision_note(self) -> str | None:
        """What half precision costs on a CPU; None where there is nothing to say."""
        if self.device.type != "cpu" or self.dtype.itemsize > 2:
            return None
        return (
            f"{self.name} computes in {self.dtype_name}, which most CPUs do more slowly than float32 and which rounds "
            "logits to two or three digits; a study made with --dtype float32 has other numbers"
        )

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        ref: str,
        name: str | None = None,
        device: torch.device | str = "cpu",
        split: bool = False,
        source_dtype: torch.dtype | None = None,
    ) -> LanguageModel:
        """Make a loaded model and its tokenizer ready, in place, on `device` or `split` over all GPUs.

        Raises InputError where the heads cannot be told apart, or the tokenizer is not that of the model.
        """
        layout = HeadLayout.of(model)
        _check_vocabulary(model, tokenizer, ref)
        tokenizer.padding_side = "left"
        rows = embedding_rows(model)
        if tokenizer.pad_token is None or tokenizer.pad_token_id >= rows:  # padding is masked, so any token serves
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
        fingerprint = model_fingerprint(model)  # before the weights move to another device
        ready = model.eval().requires_grad_(False)
        return cls(
            ref=ref,
            name=name or model_name(ref),
            model=laid_over_gpus(ready) if split else ready.to(device),
            tokenizer=tokenizer,
            layout=layout,
            device=torch.device(device),
            dtype=model.dtype,
            fingerprint=fingerprint,
            max_length=getattr(model.config.get_text_config(), "max_position_embeddings", None),
            source_dtype=source_dtype or model.dtype,
        )


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ref: str) -> None:
    rows = embedding_rows(model)
    if tokenizer.vocab_size > rows:
        raise InputError(
            f"{ref}: its tokenizer has {tokenizer.vocab_size} tokens and its model {rows}; they do not belong together"
        )


def choose_device(device: str) -> torch.device:
    """The device of this name, or the one that takes a model's input: "auto" is the first GPU or else the CPU, "split"
    all GPUs together. Raises InputError if it is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device("cuda" if device == SPLIT else device)
    except RuntimeError:
        where = None
    if where is None or where.type not in ("cpu", "cuda"):
        raise InputError(f"unknown device '{device}'; known: auto, cpu, cuda, cuda:0, …, split")
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {device} is not there: PyTorch sees {torch.cuda.device_count()} GPUs; use 'auto' or 'cpu'"
        )
    return where


def model_name(ref: str) -> str:
    """A short name for files: the folder's or file's own name, or the hub id with its owner."""
    path = Path(ref).expanduser()
    own = path.stem if path.suffix == ".gguf" else path.resolve().name if path.is_dir() else ref
    return re.sub(r"[^A-Za-z0-9._-]+", "-", own).strip("-.").lower() or "model"
