"""Opening a causal language model: the packaged default, a local folder, a GGUF file or a model of the hub.

    lm = open_model("default")        # also "gpt2", "EleutherAI/pythia-70m", "./folder", "model.gguf"

Code that comes with a model is never run, and pickled weights are read as tensors only. Everything that can be
wrong with a reference, a file or the machine is met with one line (InputError).
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import constants
from huggingface_hub.utils import get_session
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from fasp_core.errors import InputError, nearest
from fasp_core.files.paths import user_path
from fasp_core.models.default_model import default_model_folder
from fasp_core.models.fingerprint import model_fingerprint
from fasp_core.models.gguf_files import read_gguf
from fasp_core.models.language_model import DTYPES, LanguageModel, choose_device, model_name
from fasp_core.models.loading import Reported, check_complete, converted, is_compact, quiet_loading, unreadable
from fasp_core.models.placing import SPLIT
from fasp_core.models.self_check import check_model

# From this size on, half the memory is worth more than the last digits; CPUs are slow at bfloat16.
BFLOAT16_FROM_PARAMETERS = 1_000_000_000
Opened = tuple[PreTrainedModel, PreTrainedTokenizerBase, torch.dtype]  # the last: of its files
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
PROBE_SECONDS = 3.0


def open_model(ref: str = "default", *, device: str = "auto", dtype: str = "auto") -> LanguageModel:
    """Open "default", a folder with config and safetensors, a `.gguf` file or a hub id such as "gpt2".

    `device` is "auto" (the first GPU, else the CPU), "cpu", "cuda", "cuda:1" or "split" (layers over all
    GPUs); `dtype` is "auto" (float32; bfloat16
    on a GPU for 1e9 parameters and more), "float32", "bfloat16" or "float16".
    A hub model in the local cache is opened without asking the hub. Raises InputError: see the module.
    """
    ref = str(ref)
    where = choose_device(device)
    if dtype != "auto" and dtype not in DTYPES:
        raise InputError(f"unknown dtype '{dtype}'; {nearest(dtype, ['auto', *DTYPES])}")
    with quiet_loading():
        model, tokenizer, source_dtype = _read(ref, where, dtype)
        try:
            lm = LanguageModel.of(
                model,
                tokenizer,
                ref=absolute_ref(ref),
                name=model_name(ref),
                device=where,
                split=device == SPLIT,
                source_dtype=source_dtype,
            )
            check_model(lm)
            return lm
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"{ref} does not fit into the memory of {where}; choose a smaller dtype or the cpu"
            ) from error


def reopen_model(record: Mapping[str, Any], study: str, *, device: str = "auto") -> LanguageModel:
    """The model that a study was made with, in its number format, from the record in its manifest
    (`StudyFolder.model_record`, see `model_place`).

    Raises InputError if what its reference opens now is another model.
    """
    ref, relative = record.get("ref"), record.get("relative_ref")
    if ref is None:
        raise InputError(f"the record of study '{study}' names no model; score it again under another name")
    if relative is not None and not Path(ref).exists() and Path(relative).exists():
        ref = relative  # the model was moved together with the folder that the program is started in
    refusal = f"'{ref}' is not the model that study '{study}' was made with; score it again under another name"
    return open_recorded(
        ref, record.get("fingerprint") or "", refusal, dtype=record.get("dtype") or "auto", device=device
    )


def open_recorded(
    ref: str, fingerprint: str | None, refusal: str, *, dtype: str = "auto", device: str = "auto"
) -> LanguageModel:
    """What `ref` opens, in the number format in which it has this fingerprint; `dtype` is that format, where known.

    Without a fingerprint any model will do. Raises InputError, with the line `refusal`, for another model.
    """
    lm = open_model(ref, device=device, dtype=dtype)
    if fingerprint in (None, lm.fingerprint):
        return lm
    for name, other in DTYPES.items() if dtype == "auto" else ():
        if other != lm.dtype and model_fingerprint(lm.model, other) == fingerprint:
            return open_model(ref, device=device, dtype=name)
    raise InputError(refusal)


def model_place(lm: LanguageModel) -> dict[str, str]:
    """How a study's record names a model: `ref`, and for a path also `relative_ref`, from the working directory."""
    if not os.path.isabs(lm.ref):
        return {"ref": lm.ref}
    with suppress(ValueError):  # on another drive of Windows
        return {"ref": lm.ref, "relative_ref": os.path.relpath(lm.ref)}
    return {"ref": lm.ref}


def absolute_ref(ref: str) -> str:
    """A path as one that holds from any working directory; "default" and hub ids stay as they are."""
    path = user_path(ref)
    return str(path.absolute()) if ref != "default" and path.exists() else ref


def _read(ref: str, device: torch.device, dtype: str) -> Opened:
    """The model, on the CPU and in its dtype, and the tokenizer that a reference stands for, and its files' dtype."""
    if ref == "default":
        folder = default_model_folder()
        try:
            return _from_folder(folder, device, dtype)
        except InputError as error:
            raise InputError(
                f"the converted default model is damaged; remove {folder} and run 'make setup' to have it made again"
            ) from error
    path = user_path(ref)
    if path.is_dir():
        return _from_folder(path, device, dtype)
    if path.is_file():
        if path.suffix != ".gguf":
            raise InputError(f"{ref} is a file, but not a .gguf file; give a model's folder, a .gguf file or a hub id")
        model, tokenizer = read_gguf(path.absolute())
        return converted(model, _dtype(dtype, device, model.num_parameters)), tokenizer, torch.float32
    if path.suffix == ".gguf" or not HUB_ID.fullmatch(ref) or ref.startswith("."):
        raise InputError(
            f"there is no file or folder {ref}; give a model's folder, a .gguf file, a hub id or 'default'"
        )
    return _from_hub(ref, device, dtype)


def _from_folder(folder: Path, device: torch.device, dtype: str) -> Opened:
    if not (folder / "config.json").is_file():
        gguf = next(folder.glob("*.gguf"), None)
        hint = f"give the GGUF file itself: {gguf}" if gguf else "give the folder that save_pretrained wrote"
        raise InputError(f"{folder} holds no model (no config.json); {hint}")
    if _has_compact_weights(folder):
        raise InputError(
            f"{folder} is a compact checkpoint, whose heads are no longer all there and cannot be scored; open it with "
            "fasp_core.load_pruned, or give the model it was made from"
        )
    return _load(str(folder), device, dtype, local_files_only=True)


def _has_compact_weights(folder: Path) -> bool:
    try:
        return is_compact(folder)
    # No such file, or a damaged one, whatever error that makes the reader raise: loading goes on and says so.
    except Exception:
        return False


def _from_hub(ref: str, device: torch.device, dtype: str) -> Opened:
    """The copy in the local cache, else from the hub; a hub out of reach is noticed at once, without retries."""
    try:
        return _load(ref, device, dtype, local_files_only=True)
    except InputError as error:
        if not isinstance(error.__cause__, OSError):  # it is here, and something is wrong with it
            raise
    if not _hub_in_reach():
        raise InputError(
            f"cannot reach the model hub and '{ref}' is not in the local cache; connect to the network, or copy the "
            "model's folder here and give its path, or use 'default'"
        )
    return _load(ref, device, dtype, local_files_only=False)


def _load(source: str, device: torch.device, dtype: str, *, local_files_only: bool) -> Opened:
    options = {"local_files_only": local_files_only, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(source, **options)
        _check_causal(config, source)
        stored = config.get_text_config().dtype or config.dtype
        loaded = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            dtype=_dtype(dtype, device, lambda: _count_parameters(config)),
            output_loading_info=True,
            **options,
        )
        model, report = cast(Reported, loaded)
        check_complete(source, report)
        return model, AutoTokenizer.from_pretrained(source, **options), stored or model.dtype
    except InputError:
        raise
    # Damage makes the readers raise whatever error: OSError, ValueError, SafetensorError, KeyError, …
    except Exception as error:
        raise unreadable(source, error) from error


def _check_causal(config: PreTrainedConfig, source: str) -> None:
    classes = config.architectures or []
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or (
        classes and not set(classes) & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    ):
        kind = ", ".join(classes) or config.model_type
        raise InputError(
            f"{source} is not a causal language model ({kind}); give one that continues text, such as gpt2"
        )


def _dtype(dtype: str, device: torch.device, count_parameters: Callable[[], int]) -> torch.dtype:
    if dtype != "auto":
        return DTYPES[dtype]
    large = device.type != "cpu" and count_parameters() >= BFLOAT16_FROM_PARAMETERS
    return torch.bfloat16 if large else torch.float32


def _count_parameters(config: PreTrainedConfig) -> int:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(copy.deepcopy(config)).num_parameters()


def _hub_in_reach() -> bool:
    try:
        get_session().head(constants.ENDPOINT, timeout=PROBE_SECONDS)
    # Whatever keeps the request from an answer: no name, no route, no time, a proxy, HF_HUB_OFFLINE.
    except Exception:
        return False
    return True
