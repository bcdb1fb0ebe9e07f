"""Checkpoints of a pruned model, in two forms, and the way back.

* *masked*: same shapes, the pruned heads' slices of the output projections are 0; plain
  `AutoModelForCausalLM.from_pretrained(folder)` opens it, with no code of ours;
* *compact*: the heads' weights are gone; `load_pruned(folder)` opens it, and loaders that do not know it stop.

Either folder also holds the tokenizer, the configuration (`pruning.json`) and a model card. A folder is written
whole or not at all, and replaced only if asked (`force`).
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import torch
from accelerate import init_empty_weights
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from fasp_core.errors import InputError, nearest
from fasp_core.export.compensated import fitted_record, refit
from fasp_core.export.model_card import model_card
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.files.reading import read_text
from fasp_core.files.writing import new_folder, replaced_folder
from fasp_core.models.compensation import compensate_heads
from fasp_core.models.heads import HeadLayout
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.loading import (
    COMPACT,
    FORM_KEY,
    WEIGHTS,
    Reported,
    check_complete,
    is_compact,
    quiet_loading,
    unreadable,
)
from fasp_core.models.open_model import open_recorded
from fasp_core.models.removal import copy_sharing_weights, mask_heads, remove_heads

Form = Literal["masked", "compact"]
FORMS = ("masked", "compact")
PRUNING, CARD, CONFIG = "pruning.json", "README.md", "config.json"
OPEN_WITH = "fasp_core.load_pruned(folder)"
MODEL_TYPE = "fasp_compact"  # of a compact checkpoint: loaders that do not know it stop there
TIED_KEY = "fasp_tied"  # in the header of a compact checkpoint's weights


def export_checkpoint(
    lm: LanguageModel,
    config: PruningConfig,
    folder: str | os.PathLike[str],
    *,
    form: Form,
    force: bool = False,
) -> Path:
    """Write a masked or compact checkpoint of `lm` without the configuration's heads; `lm` stays as it is.

    Where the configuration asks for compensation, the layers are refitted and the refitted weights are written.
    Returns the folder. Raises InputError if the configuration is of another model or asks for a refit on another text,
    if the folder is there already (with `force`, an earlier export is replaced), or if the disk does not allow it;
    nothing is left behind then.
    """
    if form not in FORMS:
        raise InputError(f"unknown form '{form}'; {nearest(form, FORMS)}")
    config.check_layout(lm.layout)
    if config.model.fingerprint not in (None, lm.fingerprint):
        raise InputError(
            f"the configuration was made for other weights ({config.model.name}, fingerprint "
            f"{config.model.fingerprint}) than those of {lm.ref} ({lm.fingerprint}); open the model it was made for"
        )
    model = copy_sharing_weights(lm.model)
    if config.compensation is not None and (fitted := refit(lm, config)) is not None:
        compensate_heads(model, fitted)
        config = config.model_copy(update={"compensation": fitted_record(config.compensation, fitted)})
    model = copy_sharing_weights(model, lm.export_dtype)
    if form == "compact":
        return save_pruned(remove_heads(model, config.pruned), folder, config, tokenizer=lm.tokenizer, force=force)
    mask_heads(model, config.pruned)
    with _export_folder(folder, force=force) as partial, quiet_loading():
        model.save_pretrained(partial)
        _save_rest(partial, "masked", config, lm.tokenizer)
    return Path(folder)


def open_base_model(
    config: PruningConfig, ref: str | None = None, *, device: str = "auto", dtype: str = "auto"
) -> LanguageModel:
    """The model that a configuration was made for: what it names, or `ref`; in the number format it was measured in.

    `dtype` is for configurations that know no weights. Raises InputError for another model, or one of another shape.
    """
    ref, known = ref or config.model.ref, config.model.fingerprint
    if ref is None:
        raise InputError("the configuration does not name a model to open; name it with --base")
    refusal = f"'{ref}' is not the model that the configuration was made for (fingerprint {known}); give it with --base"
    lm = open_recorded(ref, known, refusal, dtype=config.model.dtype or dtype, device=device)
    config.check_layout(lm.layout)
    return lm


def save_pruned(
    model: PreTrainedModel,
    folder: str | os.PathLike[str],
    config: PruningConfig,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    force: bool = False,
) -> Path:
    """Write a compact checkpoint of a model from which `remove_heads` took the configuration's heads.

    Returns the folder. Raises InputError if other heads were removed, and as `export_checkpoint` does.
    """
    removed = getattr(model, "removed_heads", ())
    if removed != config.pruned:
        raise InputError(
            f"the model lacks {len(removed)} heads and the configuration prunes {len(config.pruned)}, not the same; "
            "remove_heads(model, config.pruned) first"
        )
    tensors, tied = _untied(model)
    plain = copy.deepcopy(model.config)
    plain.architectures, plain.dtype = [type(model).__name__], model.dtype
    with _export_folder(folder, force=force) as partial, quiet_loading():
        save_file(tensors, partial / WEIGHTS, {"format": "pt", FORM_KEY: COMPACT, TIED_KEY: json.dumps(tied)})
        (partial / CONFIG).write_text(json.dumps(_compact_config(plain), indent=2), "utf-8")
        if model.generation_config is not None:
            model.generation_config.save_pretrained(partial)
        _save_rest(partial, "compact", config, tokenizer)
    return Path(folder)


def load_pruned(folder: str | os.PathLike[str]) -> PreTrainedModel:
    """The model of a compact checkpoint, in eval mode on the CPU; `AutoTokenizer.from_pretrained(folder)` fits it.

    The base model is not needed: its architecture is built without weights, cut to shape and filled from the file.
    Raises InputError for a folder that is no compact checkpoint, is damaged, or links to files outside of it.
    """
    folder = Path(folder)
    config = load_configuration(folder)
    if checkpoint_form(folder) != "compact":
        raise InputError(
            f"{folder} is a masked checkpoint, with the shapes of the original; open it with open_model or with "
            "AutoModelForCausalLM.from_pretrained"
        )
    try:
        with quiet_loading():
            plain = _base_config(folder)
            with init_empty_weights(include_buffers=False):
                model = AutoModelForCausalLM.from_config(plain, dtype=plain.dtype or torch.float32)
            config.check_layout(HeadLayout.of(model))
            _fill(remove_heads(model, config.pruned), folder)
            if _inside(folder, "generation_config.json").is_file():
                model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    except InputError:
        raise
    # Damaged files raise errors of many kinds: OSError, ValueError, SafetensorError, KeyError, …
    except Exception as error:
        raise unreadable(folder, error) from error
    return model.eval()


def load_checkpoint(folder: str | os.PathLike[str]) -> PreTrainedModel:
    """The model of either form, in eval mode on the CPU; raises InputError as `load_pruned` does."""
    folder = Path(folder)
    load_configuration(folder)
    if checkpoint_form(folder) == "compact":
        return load_pruned(folder)
    try:
        with quiet_loading():
            loaded = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, dtype="auto", output_loading_info=True
            )
            model, report = cast(Reported, loaded)
            check_complete(folder, report)
    except InputError:
        raise
    except Exception as error:  # as above
        raise unreadable(folder, error) from error
    return model.eval()


def load_configuration(folder: Path) -> PruningConfig:
    """The configuration inside a checkpoint; raises InputError where the folder is no checkpoint of ours."""
    if not (folder / PRUNING).is_file():
        raise InputError(f"{folder} holds no export (no {PRUNING}); make one with: python -m fasp_core export")
    for path in folder.iterdir():
        _inside(folder, path.name)
    return PruningConfig.load(folder / PRUNING)


def checkpoint_form(folder: Path) -> Form:
    """Which form a checkpoint has; raises InputError where its weights cannot be read."""
    path = _inside(folder, WEIGHTS)
    if not path.is_file() and (folder / f"{WEIGHTS}.index.json").is_file():
        return "masked"  # transformers writes large models in parts
    try:
        return "compact" if is_compact(folder) else "masked"
    except Exception as error:  # a damaged header raises errors of many kinds
        raise unreadable(path, error) from error


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a checkpoint's weights."""
    return sorted(folder.glob("*.safetensors"))


def _fill(model: PreTrainedModel, folder: Path) -> None:
    """Give a model without weights those of the file, each exactly once."""
    with safe_open(_inside(folder, WEIGHTS), framework="pt") as file:
        tied = json.loads(file.metadata()[TIED_KEY])
        # Copied out of the mapped file: those pages are slower to read, and the file may be replaced meanwhile.
        weights = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    weights |= {name: weights[kept] for name, kept in tied.items()}
    try:
        model.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        raise InputError(
            f"{folder}: {PRUNING} and {WEIGHTS} do not belong together ({len(str(error).splitlines()) - 1} weights "
            "differ in name or shape); export the checkpoint again"
        ) from error
    model.tie_weights()


def _compact_config(plain: PreTrainedConfig) -> dict[str, Any]:
    """The config.json of a compact checkpoint, which transformers must not open: it would fill the gaps at random.

    `AutoModel…` does not know the model type. A class named by hand, `LlamaForCausalLM`, takes any config, also one
    that is nested in it; so the base config is text, and a width that is no number stops such a class.
    """
    return {
        "model_type": MODEL_TYPE,
        "open_with": OPEN_WITH,
        "hidden_size": f"open with {OPEN_WITH}",
        "base_config": plain.to_json_string(),
    }


def _base_config(folder: Path) -> PreTrainedConfig:
    """The config of the model that a compact checkpoint was made of; older ones have it as their own."""
    path = _inside(folder, CONFIG)
    if not path.is_file():
        raise unreadable(folder, FileNotFoundError(f"{CONFIG} is missing"))
    content = json.loads(read_text(path))
    if content.get("model_type") != MODEL_TYPE:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return base_config(content)


def base_config(content: dict[str, Any]) -> PreTrainedConfig:
    """The config that lies as text inside the `config.json` of a compact checkpoint."""
    base = json.loads(content["base_config"])
    return CONFIG_MAPPING[base["model_type"]].from_dict(base)


def _untied(model: PreTrainedModel) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Every weight once, and for each further name of one the name it is kept under."""
    first: dict[int, str] = {}
    tensors, tied = {}, {}
    for name, weight in model.state_dict(keep_vars=True).items():
        kept = first.setdefault(id(weight), name)
        if kept == name:
            tensors[name] = weight.detach().cpu().contiguous()
        else:
            tied[name] = kept
    return tensors, tied


def _save_rest(partial: Path, form: Form, config: PruningConfig, tokenizer: PreTrainedTokenizerBase | None) -> None:
    if tokenizer is not None:
        tokenizer.save_pretrained(partial)
    config.save(partial / PRUNING)
    (partial / CARD).write_text(model_card(config, form), "utf-8")


@contextmanager
def _export_folder(folder: str | os.PathLike[str], *, force: bool) -> Iterator[Path]:
    """`new_folder`, which with `force` takes the place of an earlier export; until then that stays as it is."""
    folder = Path(os.path.abspath(Path(folder).expanduser()))
    if not os.path.lexists(folder):
        with new_folder(folder) as partial:
            yield partial
        return
    if not force:
        raise InputError(f"{folder} is there already; choose another folder, or replace it with --force (force=True)")
    if folder.is_symlink() or not (folder / PRUNING).is_file():
        raise InputError(f"{folder} is not replaced: it holds no export (no {PRUNING}); remove it or choose another")
    with replaced_folder(folder) as partial:
        yield partial


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path} leads outside its folder; put the file itself there instead of a link")
    return path
