"""Opening a causal language model: the packaged default, a local folder, a GGUF file or a model of the hub.

    lm = open_model("default")        # also "gpt2", "EleutherAI/pythia-70m", "./folder", "model.gguf"

Code that comes with a model is never run, and pickled weights are read as tensors only. Everything that can be
wrong with a reference, a file or the machine is met with one line (InputError).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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

from .default_model import default_model_folder
from .errors import InputError, nearest
from .fingerprint import model_fingerprint
from .gguf_files import read_gguf
from .heads import HeadLayout
from .loading import check_complete, is_compact, quiet_loading, unreadable

if TYPE_CHECKING:
    from .study import Study

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# From this size on, half the memory is worth more than the last digits; CPUs are slow at bfloat16.
BFLOAT16_FROM_PARAMETERS = 1_000_000_000
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
PROBE_SECONDS = 3.0


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A model ready to be scored: in eval mode, its weights frozen, its tokenizer padding on the left.

    `ref` opens it again, `name` is fit for a file name, `fingerprint` (16 hex digits) is that of the config and
    weights it was opened with, `max_length` the context length in tokens (None where there is no limit).
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

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        ref: str,
        name: str | None = None,
        device: torch.device | str = "cpu",
    ) -> LanguageModel:
        """Make a loaded model and its tokenizer ready, in place.

        Raises InputError where the heads cannot be told apart, or the tokenizer is not that of the model.
        """
        layout = HeadLayout.of(model)
        _check_vocabulary(model, tokenizer, ref)
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:  # padding is masked, so any token serves
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
        fingerprint = model_fingerprint(model)  # before the weights move to another device
        return cls(
            ref=ref,
            name=name or model_name(ref),
            model=model.eval().requires_grad_(False).to(device),
            tokenizer=tokenizer,
            layout=layout,
            device=torch.device(device),
            dtype=model.dtype,
            fingerprint=fingerprint,
            max_length=getattr(model.config.get_text_config(), "max_position_embeddings", None),
        )


def open_model(ref: str = "default", *, device: str = "auto", dtype: str = "auto") -> LanguageModel:
    """Open "default", a folder with config and safetensors, a `.gguf` file or a hub id such as "gpt2".

    `device` is "auto" (the first GPU, else the CPU), "cpu", "cuda" or "cuda:1"; `dtype` is "auto" (float32; bfloat16
    on a GPU for 1e9 parameters and more), "float32", "bfloat16" or "float16".
    A hub model in the local cache is opened without asking the hub. Raises InputError: see the module.
    """
    ref = str(ref)
    where = choose_device(device)
    if dtype != "auto" and dtype not in DTYPES:
        raise InputError(f"unknown dtype '{dtype}'; {nearest(dtype, ['auto', *DTYPES])}")
    with quiet_loading():
        model, tokenizer = _read(ref, where, dtype)
        try:
            return LanguageModel.of(model, tokenizer, ref=ref, device=where)
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"{ref} does not fit into the memory of {where}; choose a smaller dtype or the cpu"
            ) from error


def open_study_model(study: Study) -> LanguageModel:
    """The model a study was made with.

    Raises InputError if what its reference opens now is another one, and for imported scores, which have none.
    """
    study.require_model()
    made_with = study.manifest.model
    lm = open_model(made_with["ref"])
    if lm.fingerprint != made_with["fingerprint"]:
        raise InputError(
            f"'{made_with['ref']}' is not the model that study '{study.name}' was made with; score it again under "
            "another name"
        )
    return lm


def _read(ref: str, device: torch.device, dtype: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model, on the CPU and in its dtype, and the tokenizer that a reference stands for."""
    if ref == "default":
        folder = default_model_folder()
        try:
            return _from_folder(folder, device, dtype)
        except InputError as error:
            raise InputError(
                f"the converted default model is damaged; remove {folder} and run 'make setup' to have it made again"
            ) from error
    path = Path(ref).expanduser()
    if path.is_dir():
        return _from_folder(path, device, dtype)
    if path.is_file():
        if path.suffix != ".gguf":
            raise InputError(f"{ref} is a file, but not a .gguf file; give a model's folder, a .gguf file or a hub id")
        model, tokenizer = read_gguf(path.absolute())
        return model.to(_dtype(dtype, device, model.num_parameters)), tokenizer
    if path.suffix == ".gguf" or not HUB_ID.fullmatch(ref) or ref.startswith("."):
        raise InputError(
            f"there is no file or folder {ref}; give a model's folder, a .gguf file, a hub id or 'default'"
        )
    return _from_hub(ref, device, dtype)


def _from_folder(folder: Path, device: torch.device, dtype: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
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
    # No such file, or a damaged one, in whatever way readers stumble over it: loading goes on and says so.
    except Exception:
        return False


def _from_hub(ref: str, device: torch.device, dtype: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
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


def _load(
    source: str, device: torch.device, dtype: str, *, local_files_only: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    options = {"local_files_only": local_files_only, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(source, **options)
        _check_causal(config, source)
        model, report = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            dtype=_dtype(dtype, device, lambda: _count_parameters(config)),
            output_loading_info=True,
            **options,
        )
        check_complete(source, report)
        return model, AutoTokenizer.from_pretrained(source, **options)
    except InputError:
        raise
    # The readers stumble over damage in whatever way it comes: OSError, ValueError, SafetensorError, KeyError, …
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


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ref: str) -> None:
    rows = model.get_input_embeddings().num_embeddings
    if tokenizer.vocab_size > rows:
        raise InputError(
            f"{ref}: its tokenizer has {tokenizer.vocab_size} tokens and its model {rows}; they do not belong together"
        )


def choose_device(device: str) -> torch.device:
    """The device of this name, "auto" being the first GPU or else the CPU; raises InputError if it is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
    except RuntimeError:
        where = None
    if where is None or where.type not in ("cpu", "cuda"):
        raise InputError(f"unknown device '{device}'; known: auto, cpu, cuda, cuda:0, …")
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {device} is not there: PyTorch sees {torch.cuda.device_count()} GPUs; use 'auto' or 'cpu'"
        )
    return where


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


def model_name(ref: str) -> str:
    """A short name for files: the folder's or file's own name, or the hub id with its owner."""
    path = Path(ref).expanduser()
    own = path.stem if path.suffix == ".gguf" else path.resolve().name if path.is_dir() else ref
    return re.sub(r"[^A-Za-z0-9._-]+", "-", own).strip("-.").lower() or "model"
