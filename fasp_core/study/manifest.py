"""The record of a study: what made its numbers, its settings, and a checksum for every shard and for itself."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from fasp_core.data.sampling import (
    CONTINUATION,
    DRAWS,
    DRAWS_BEFORE,
    TEXT_WITH_PROMPT,
    SamplingSettings,
    check_scored,
    check_sizes,
)
from fasp_core.errors import InputError
from fasp_core.limits import MAX_HEADS, MAX_LAYERS

SCHEMA_VERSION = 1
SHARD_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,240}\.parquet")
MODEL_NUMBERS = ("n_layers", "heads_per_layer", "head_dim", "query_group")  # the rest of a model's record is text
CHECKSUM = "checksum"  # of all the other fields; manifests of older programs have none


@dataclass(frozen=True)
class StudySettings(SamplingSettings):
    """What a study's numbers depend on besides model and data; fixed when the study is made.

    Raises InputError for sizes below 1.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    seed: int = 0
    window_tokens: int = 128
    window_stride: int | None = None  # None: windows follow each other within an article
    samples_per_shard: int = 128  # some 15 s of work for the default model on 2 cores
    windows_per_shard: int = 16
    knockout_samples_per_shard: int = 8
    odds_per_shard: int = 60  # prompts whose log-odds are measured; some 15 s of work likewise
    lowercase: bool = False  # before toxicity is scored; the published recipe does
    scored: str = CONTINUATION  # what of a text is rated: this, or "text", prompt included, as in the published recipe

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; give a whole number of at least 0")
        check_sizes(self, "window_tokens", "window_stride", "samples_per_shard", "windows_per_shard")
        check_sizes(self, "knockout_samples_per_shard", "odds_per_shard")
        check_scored(self.scored)


@dataclass(frozen=True)
class ImportedFrom:
    """What stands in place of settings where scores were imported: the file they are from."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    file: str
    sha256: str


class ShardRecord(BaseModel):
    """What the manifest knows of one shard file."""

    model_config = ConfigDict(extra="forbid")
    sha256: str
    rows: int
    bytes: int


class Manifest(BaseModel):
    """The record of a study: what made its numbers, and its shards."""

    model_config = ConfigDict(extra="forbid")
    schema_version: int = SCHEMA_VERSION
    kind: Literal["measured", "imported"] = "measured"
    name: str
    created: str
    model: dict[str, str | int | None]
    prompts: dict[str, str]
    text: dict[str, str]
    settings: StudySettings | ImportedFrom
    scorers: dict[str, str] = {}  # name: fingerprint
    scorer_refs: dict[str, str] = {}  # name: what opens it again, where that is not the name
    axes: list[str] = []
    versions: dict[str, str] = {}
    draws: str = DRAWS  # in what precision the noise of its first texts was drawn
    precision: dict[str, str | float] = {}
    notes: list[str] = []
    shards: dict[str, ShardRecord] = {}

    @field_validator("model")
    @classmethod
    def _has_a_layout(cls, model: dict[str, Any]) -> dict[str, Any]:
        for name in MODEL_NUMBERS[:2]:
            if type(model.get(name)) is not int or model[name] < 1:
                raise ValueError(f"{name} is not a whole number of at least 1")
        if model["n_layers"] > MAX_LAYERS or model["n_layers"] * model["heads_per_layer"] > MAX_HEADS:
            raise ValueError(f"the model has more than {MAX_LAYERS:,} layers or {MAX_HEADS:,} heads")
        for name, value in model.items():
            fits = (type(value) is int and value > 0) if name in MODEL_NUMBERS else isinstance(value, str | None)
            if not fits:
                raise ValueError(f"the model's {name[:40]} has a value of the wrong kind")
        return model

    @field_validator("precision")
    @classmethod
    def _tells_its_error(cls, precision: dict[str, str | float]) -> dict[str, str | float]:
        kinds = [type(precision.get(name)) for name in ("dtype", "standard_errors")]
        if precision and kinds != [str, float]:
            raise ValueError("precision has no dtype, or no number of standard_errors")
        return precision

    @model_validator(mode="after")
    def _settings_are_of_its_kind(self) -> Manifest:
        if isinstance(self.settings, StudySettings) != (self.kind == "measured"):
            raise ValueError(f"the settings are not those of a study of kind {self.kind}")
        return self

    @field_validator("shards")
    @classmethod
    def _names_stay_inside(cls, shards: dict[str, ShardRecord]) -> dict[str, ShardRecord]:
        for name in shards:
            if not SHARD_PATTERN.fullmatch(name):
                raise ValueError(f"shard name {name!r} is not a plain file name")
        return shards


def load_manifest(folder: Path) -> Manifest:
    """The record of the study in this folder; raises InputError where it is damaged, or was changed by hand."""
    path = folder / "manifest.json"
    try:
        data = json.loads(path.read_text("utf-8"))
        if isinstance(data, dict) and data.get("schema_version") != SCHEMA_VERSION:
            version = str(data.get("schema_version"))[:20]
            raise InputError(
                f"study '{folder.name}' has schema version {version}, this program reads {SCHEMA_VERSION}; open it "
                "with the version that made it"
            )
        written = data.pop(CHECKSUM, None) if isinstance(data, dict) else None
        manifest = Manifest.model_validate(_of_its_time(data))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, or not what a manifest holds
        raise _damaged(folder, f"manifest.json cannot be read ({_first_fault(error)})") from error
    if written is not None and written != _checksum(data):
        raise _damaged(
            folder,
            "manifest.json is not as it was written (its checksum differs)",
            f"if the change was meant, delete the entry '{CHECKSUM}' from the file",
        )
    return manifest


def manifest_text(manifest: Manifest) -> str:
    """The content of manifest.json, with the checksum of it."""
    data = json.loads(manifest.model_dump_json())
    return json.dumps({**data, CHECKSUM: _checksum(data)}, indent=1, ensure_ascii=False)


def _checksum(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _damaged(folder: Path, what: str, *ways: str) -> InputError:
    mend = "; ".join([*ways, "restore it from a copy, or delete the folder and score again"])
    return InputError(f"study '{folder.name}' is damaged: {what}; {mend}")


def _first_fault(error: Exception) -> str:
    """The first thing that is wrong, in few words."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))[:60]}: {first['msg']}"[:200]
    return "nested too deep" if isinstance(error, RecursionError) else str(error).splitlines()[0][:200]


def _of_its_time(data: Any) -> Any:
    """What a study of earlier versions does not say: that whole texts were rated, and how their noise was drawn."""
    if isinstance(data, dict) and isinstance(settings := data.get("settings"), dict) and "sha256" not in settings:
        return {"draws": DRAWS_BEFORE, **data, "settings": {"scored": TEXT_WITH_PROMPT, **settings}}
    return data


def shard_record(path: Path, rows: int) -> ShardRecord:
    data = path.read_bytes()
    return ShardRecord(sha256=hashlib.sha256(data).hexdigest(), rows=rows, bytes=len(data))


LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "scipy", "pandas", "pyarrow")


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that numbers depend on, where installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
