"""What all readers of model files share: transformers kept quiet, and one line for whatever is wrong in a file."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import PreTrainedModel
from transformers import modeling_gguf_pytorch_utils as gguf_reader
from transformers.utils import logging

from fasp_core.errors import InputError

# The settings are those of the whole process, so one load at a time; it may nest.
_LOADING = threading.RLock()

# Masks and position numbers that older versions of transformers saved with the weights.
NO_WEIGHT = re.compile(
    r"(^|\.)(attn|attention)\.(masked_)?bias$|inv_freq$|position_ids$|causal_mask$|embed_positions\.weights$"
)

WEIGHTS = "model.safetensors"
Reported = tuple[PreTrainedModel, dict[str, Any]]  # what `from_pretrained(…, output_loading_info=True)` returns
FORM_KEY, COMPACT = "fasp_form", "compact"  # in the header of a compact checkpoint's weights


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence transformers while inside, then put its verbosity and its bars back as they were."""
    with _LOADING:
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        gguf_bar = gguf_reader.tqdm  # no setting of transformers turns this one off
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()
        gguf_reader.tqdm = lambda items, **_: items
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            gguf_reader.tqdm = gguf_bar
            if bars:
                logging.enable_progress_bar()


def converted(model: PreTrainedModel, to: torch.device | torch.dtype) -> PreTrainedModel:
    """The model on a device or in a number format, in place."""
    return model.to(to)  # type: ignore[arg-type]  # transformers declares it without arguments


def check_complete(source: object, report: dict[str, Any]) -> None:
    """Raises InputError where files lack weights, which transformers would fill up at random, or hold others, which it
    would drop.

    `report` is that of `Reported`.
    """
    if missing := sorted(report["missing_keys"]):
        raise InputError(f"{source} lacks {len(missing)} of the model's weights, first {missing[0]}; fetch it again")
    if unexpected := sorted(name for name in report["unexpected_keys"] if not NO_WEIGHT.search(name)):
        raise InputError(
            f"{source} holds {len(unexpected)} weights that the model of its config has no place for, first "
            f"{unexpected[0]}; correct its config.json, or fetch it again"
        )


def is_compact(folder: Path) -> bool:
    """Whether a folder's weights say that they are those of a compact checkpoint, with heads removed.

    Raises what the reader does (OSError, SafetensorError, …) where there is no such file or its header is damaged.
    """
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        return (file.metadata() or {}).get(FORM_KEY) == COMPACT


def unreadable(source: object, error: Exception) -> InputError:
    """The error to raise from `error`, which a reader met in the files of `source`."""
    reason = next(iter(str(error).strip().splitlines()), "no details")
    asks = re.search(r"pip install (?!--upgrade transformers|git\+)", str(error))  # that is for an unknown architecture
    if isinstance(error, ImportError) or asks:
        return InputError(f"{source} needs a library that is not here ({reason}); install it, or give another model")
    return InputError(
        f"{source} cannot be read as a model ({type(error).__name__}: {reason}); "
        "a file may be cut short, damaged or missing: fetch it again"
    )
