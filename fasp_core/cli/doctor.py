"""The command `doctor`: what this machine has, what is missing and how to get it. Its output is for bug reports."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasp_core.cli.options import AsJson, Device
from fasp_core.cli.output import print_json, print_table
from fasp_core.errors import InputError, RunError
from fasp_core.files.paths import cache_root
from fasp_core.words.spoken import spoken_bytes

if TYPE_CHECKING:
    from fasp_core.cli.known_answers import Answer
    from fasp_core.models.language_model import LanguageModel

# The libraries that numbers, the app and the optional parts come from.
LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "accelerate",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "streamlit",
    "plotly",
    "alt-profanity-check",
    "detoxify",
    "ray",
    "lm_eval",
)
OPTIONAL = {"detoxify", "ray", "lm_eval"}
LITTLE_DISK = 2e9  # a converted default model and a study or two


def doctor(device: Device = "auto", as_json: AsJson = False) -> None:
    """Say what this machine has, try the default model, and name what is missing and how to get it.

    The default model is asked for a few numbers that are known, which takes about ten seconds. Exit status 1 means that
    something is wrong; what is merely optional does not count. Nothing is downloaded and no request is made.
    """
    found: dict[str, Any] = {
        "versions": _versions(),
        "machine": _machine(),
        "devices": _devices(),
        "folders": _folders(),
        "scorers": _scorers(),
    }
    answers, missing = _self_check(device)
    wrong = [*_faults(found), *missing]
    wrong += [f"{answer.name}: {answer.found}, known: {answer.known}" for answer in answers if not answer.same]
    optional = [f"{row['scorer']}: {row['hint']}" for row in found["scorers"] if row["hint"]]
    found |= {"self_check": [asdict(answer) for answer in answers], "wrong": wrong, "optional": optional}
    if as_json:
        print_json(found)
    else:
        _print(found)
    if wrong:
        raise RunError(f"{len(wrong)} thing{'s' * (len(wrong) > 1)} to mend: {'; '.join(wrong)}")


def _versions() -> dict[str, str | None]:
    """The version of each library; None where it is not installed."""
    found: dict[str, str | None] = {"fasp": _version("fasp"), "python": platform.python_version()}
    return found | {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    import psutil

    memory = psutil.virtual_memory()
    return {
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cores": os.cpu_count(),
        "memory": memory.total,
        "memory_free": memory.available,
    }


def _devices() -> list[dict[str, Any]]:
    """The GPUs that PyTorch sees; none is no fault."""
    import torch

    devices = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        devices.append(
            {
                "device": f"cuda:{index}",
                "name": torch.cuda.get_device_name(index),
                "memory": total,
                "memory_free": free,
                "bfloat16": torch.cuda.is_bf16_supported(),
            }
        )
    return devices


def _folders() -> list[dict[str, Any]]:
    """Where things are kept: how much they take, how much is free there, and whether they can be written."""
    from huggingface_hub import constants

    from fasp_core.study.study import list_studies

    root, unpacked = cache_root(), _default_folder().is_dir()
    places = {
        "cache": (root, f"studies: {', '.join(list_studies()) or 'none'}"),
        "models": (
            root / "models",
            f"default model {'unpacked' if unpacked else 'not unpacked yet'}",
        ),
        "hub cache": (Path(constants.HF_HUB_CACHE), "offline" if constants.HF_HUB_OFFLINE else ""),
    }
    return [{"what": what, **_folder(path), "holds": holds} for what, (path, holds) in places.items()]


def _folder(path: Path) -> dict[str, Any]:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return {
        "folder": str(path),
        "there": path.is_dir(),
        "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink()),
        "free": shutil.disk_usage(existing).free,
        "writable": os.access(existing, os.W_OK),
    }


def _default_folder() -> Path:
    from fasp_core.models.default_model import FOLDER

    return cache_root() / "models" / FOLDER


def _open_default(device: str) -> LanguageModel:
    """The default model, which is not unpacked for the sake of being tried."""
    from fasp_core.models.default_model import packaged_gguf
    from fasp_core.models.open_model import open_model

    if not _default_folder().is_dir():
        packaged_gguf()  # where that is missing too, it says how to get it
        raise InputError("the default model is not unpacked yet; run: python -m fasp_core.models.default_model")
    return open_model("default", device=device, dtype="float32")


def _scorers() -> list[dict[str, Any]]:
    from fasp_core.toxicity.scorers import default_scorer, list_scorers

    default = default_scorer()
    return [
        {"scorer": row.ref, "available": row.available, "default": row.ref == default, "hint": row.hint}
        for row in list_scorers()
        if not row.ref.endswith("PATH") and not row.ref.isupper()
    ]


def _faults(found: dict[str, Any]) -> list[str]:
    """What of that keeps this program from working, and the mend."""
    wrong = [
        f"the library {name} is not installed; run 'make setup' or: pip install -r requirements.txt"
        for name, version in found["versions"].items()
        if version is None and name not in OPTIONAL
    ]
    kept = [folder for folder in found["folders"] if folder["what"] != "hub cache"]
    wrong += [
        f"{folder['folder']} cannot be written; set FASP_CACHE to a folder that can"
        for folder in kept
        if not folder["writable"]
    ]
    if kept[0]["free"] < LITTLE_DISK:
        wrong.append(
            f"{kept[0]['folder']} has {spoken_bytes(kept[0]['free'])} left; free some, or set FASP_CACHE to a folder "
            "on another disk"
        )
    return wrong


def _self_check(device: str) -> tuple[list[Answer], list[str]]:
    """What the default model and the embedded scorer answer, and what keeps them from answering."""
    from fasp_core.cli.known_answers import model_answers, scorer_answers

    answers: list[Answer] = []
    wrong: list[str] = []
    asks: tuple[Callable[[], list[Answer]], ...] = (lambda: model_answers(_open_default(device)), scorer_answers)
    for ask in asks:
        try:
            answers += ask()
        except InputError as error:
            wrong.append(str(error))
        except Exception as error:  # a broken library may raise anything, and the rest is to be printed
            wrong.append(f"the self-check failed ({type(error).__name__}: {' '.join(str(error).split())[:160]})")
    return answers, wrong


def _print(found: dict[str, Any]) -> None:
    machine = found["machine"]
    print(f"{machine['system']}; {machine['cores']} cores; memory {_of(machine)}")
    for device in found["devices"]:
        print(f"{device['device']}: {device['name']}, memory {_of(device)}{', bfloat16' * device['bfloat16']}")
    if not found["devices"]:
        print("no GPU that PyTorch sees; everything runs on the CPU")
    print(", ".join(f"{name} {version or 'not installed'}" for name, version in found["versions"].items()))
    print()
    print_table(
        ("folder of", "where", "takes", "free there", "holds"),
        [
            (
                row["what"],
                row["folder"] + ("" if row["writable"] else " (cannot be written)"),
                spoken_bytes(row["bytes"]) if row["there"] else "not there",
                spoken_bytes(row["free"]),
                row["holds"],
            )
            for row in found["folders"]
        ],
    )
    print()
    print_table(
        ("scorer", "on this machine"),
        [
            (row["scorer"], "default" if row["default"] else "yes" if row["available"] else "no")
            for row in found["scorers"]
        ],
    )
    print()
    print_table(
        ("self-check", "found", "known", ""),
        [
            (row["name"], row["found"], row["known"], "same" if row["same"] else "DIFFERS")
            for row in found["self_check"]
        ],
    )
    if found["optional"]:
        print("optional: the scorers that are not here; fasp scorers says how to get them")
    for line in found["wrong"]:
        print(f"to mend: {line}")
    if not found["wrong"]:
        print("Nothing to mend.")


def _of(memory: dict[str, int]) -> str:
    return f"{spoken_bytes(memory['memory'])}, {spoken_bytes(memory['memory_free'])} free"
