"""The study folder: one model × prompts × scorer × settings, and all that was measured for it.

    cache/<name>/manifest.json              what made it, and a checksum for every shard
                 prompts.parquet            the prompt set, whole
                 prompts.<axis>.parquet     an axis added later, of a set too large to be kept whole
                 windows.parquet            the text windows: article, split, token ids
                 samples.<axis>.00000.parquet            continuations of the intact model
                 toxicity.<scorer>.<axis>.00000.parquet  their toxicity
                 gradient.<axis|text>.00000.parquet      log-ratios of all heads, first order
                 knockout.<axis|text>.00000.<heads>.parquet  exact log-ratios of some heads
                 pairs.parquet, likelihood[-knockout].<axis>.….parquet  the likelihood metric (see `odds`)

A study of imported scores has a manifest of kind "imported" and one file, scores.parquet (see `importing`).

A shard appears under its name only when it is whole, is never written twice and never changed: killing a run at any
moment loses at most the shard in the making. One process writes a study at a time. No torch here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from .errors import InputError, nearest
from .files import write_atomic, write_errors
from .paths import cache_root
from .prompts import PromptSet

SCHEMA_VERSION = 1
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SHARD_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.parquet")
PROMPTS_PATTERN = re.compile(r"prompts\.[A-Za-z0-9_-]+\.parquet")
NOT_STUDIES = {"models", "exports"}
# Measured numbers hardly repeat: without dictionaries shards of log-ratios are a third smaller.
STORED_AS = {"compression": "zstd", "use_dictionary": False}


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
    model: dict[str, Any]
    prompts: dict[str, Any]
    text: dict[str, Any]
    settings: dict[str, Any]
    scorers: dict[str, str] = {}  # name: fingerprint
    scorer_refs: dict[str, str] = {}  # name: what opens it again, where that is not the name
    axes: list[str] = []
    versions: dict[str, str] = {}
    precision: dict[str, Any] = {}
    notes: list[str] = []
    shards: dict[str, ShardRecord] = {}

    @field_validator("model")
    @classmethod
    def _has_a_layout(cls, model: dict[str, Any]) -> dict[str, Any]:
        for name in ("n_layers", "heads_per_layer"):
            if type(model.get(name)) is not int or model[name] < 1:
                raise ValueError(f"{name} is not a whole number of at least 1")
        return model

    @field_validator("shards")
    @classmethod
    def _names_stay_inside(cls, shards: dict[str, ShardRecord]) -> dict[str, ShardRecord]:
        for name in shards:
            if not SHARD_PATTERN.fullmatch(name):
                raise ValueError(f"shard name {name!r} is not a plain file name")
        return shards


class Study:
    """An open study folder. Reading needs no lock; writing happens inside `writing()`."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self._remembered: dict[str, pa.Table] | None = None  # by checksum

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def n_layers(self) -> int:
        """L, layers of the model."""
        return self.manifest.model["n_layers"]

    @property
    def heads_per_layer(self) -> int:
        """H, query heads per layer."""
        return self.manifest.model["heads_per_layer"]

    @property
    def axes(self) -> list[str]:
        """The axes that have been scored."""
        return list(self.manifest.axes)

    @property
    def has_model(self) -> bool:
        """Whether a model was measured here; False for imported scores, which can be neither sampled nor evaluated."""
        return self.manifest.kind == "measured"

    def require_model(self) -> None:
        """Raise InputError for imported scores: what is asked needs the model they are of."""
        if not self.has_model:
            raise InputError(
                f"study '{self.name}' holds imported scores only, without model, prompts and texts, and this needs "
                "them; measure a model under another name: python -m fasp_core score MODEL --axes AXIS --name NAME"
            )

    @property
    def prompts(self) -> PromptSet:
        """The study's own copy of its prompt set; of a large one, the axes that were asked for."""
        self.require_model()
        added = [name for name in sorted(self.manifest.shards) if PROMPTS_PATTERN.fullmatch(name)]
        names = ["prompts.parquet", *added]
        frame = pd.concat([self._read(name).to_pandas() for name in names], ignore_index=True)
        return PromptSet(name=self.manifest.prompts["name"], frame=frame)

    @property
    def windows(self) -> pd.DataFrame:
        """The text windows: window_id, article, split, token_ids."""
        self.require_model()
        return self._read("windows.parquet").to_pandas()

    @property
    def metrics(self) -> list[str]:
        """The measures of bias that the study has scores of, of "toxicity" and "likelihood", in this order."""
        if not self.has_model:
            return ["toxicity"]
        toxicity = any(self.shard_names("gradient", axis) for axis in self.axes)
        likelihood = any(name.startswith("likelihood.") for name in self.manifest.shards)
        return ["toxicity"] * toxicity + ["likelihood"] * likelihood

    def scores(self, scorer: str | None = None, *, metric: str = "toxicity"):
        """The `HeadScores` of everything measured so far (see `results.head_scores`), or those that were imported."""
        if not self.has_model:
            from .importing import imported_scores

            if metric != "toxicity":
                raise InputError(f"study '{self.name}' holds imported scores, and none by {metric}")
            return imported_scores(self, scorer=scorer)
        from .results import head_scores

        return head_scores(self, scorer=scorer, metric=metric)

    def samples(self, axis: str, scorer: str | None = None) -> pd.DataFrame:
        """The continuations of one axis: prompt_id, draw, axis, group, prompt, continuation, toxicity."""
        self.require_model()
        from .results import sample_frame

        return sample_frame(self, axis, scorer=scorer)

    # -- shards -------------------------------------------------------------------------------------------------

    def shard_names(self, kind: str, stream: str) -> list[str]:
        """Finished shards of one kind (`samples`, `toxicity.embedded`, …) and stream (an axis, or `text`), in order."""
        prefix = f"{kind}.{stream}."
        return sorted(name for name in self.manifest.shards if name.startswith(prefix))

    def has_shard(self, name: str) -> bool:
        """Whether this shard is finished."""
        return name in self.manifest.shards

    def read_shard(self, name: str) -> pa.Table:
        """A finished shard; raises InputError if the file is missing or is not what was written."""
        return self._read(name)

    def write_shard(self, name: str, table: pa.Table) -> None:
        """Add a shard, whole or not at all, and list it in the manifest."""
        self._write_table(name, table)
        self._save_manifest()

    def add_scorer(self, name: str, ref: str, fingerprint: str) -> None:
        """Note that this scorer rates the study's texts, and what opens it again; forget those that rated none."""
        made = self.manifest
        used = [n for n in made.scorers if any(shard.startswith(f"toxicity.{n}.") for shard in made.shards)]
        self.update(
            scorers={n: made.scorers[n] for n in used} | {name: fingerprint},
            scorer_refs={n: made.scorer_refs[n] for n in used if n in made.scorer_refs} | {name: ref},
        )

    def add_prompts(self, prompts: PromptSet) -> None:
        """Take in the axes of the set the study was made from that it does not hold yet, a file each."""
        there = self.prompts.axes
        for axis in prompts.axes:
            if axis not in there:
                frame = prompts.select(axes=[axis]).frame
                self.write_shard(f"prompts.{axis}.parquet", pa.Table.from_pandas(frame, preserve_index=False))

    def _write_table(self, name: str, table: pa.Table) -> None:
        path = self.folder / name
        write_atomic(path, lambda temporary: pq.write_table(table, temporary, **STORED_AS))
        self.manifest.shards[name] = _record(path, table.num_rows)

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Read and check each file once while inside, whoever asks for it: none changes once it is written."""
        outer = self._remembered
        self._remembered = {} if outer is None else outer
        try:
            yield
        finally:
            self._remembered = outer

    def _read(self, name: str) -> pa.Table:
        record = self.manifest.shards.get(name)
        if self._remembered is None or record is None:
            return self._read_file(name)
        if record.sha256 not in self._remembered:
            self._remembered[record.sha256] = self._read_file(name)
        return self._remembered[record.sha256]

    def _read_file(self, name: str) -> pa.Table:
        path, record = self.folder / name, self.manifest.shards.get(name)
        mend = f"delete {name} from the study's folder and score again to measure just that part anew"
        missing = "score again to measure it anew"
        if not self.has_model:
            mend = missing = "import the file it came from again, with --force"
        if record is None or not path.is_file():
            raise InputError(f"study '{self.name}': {name} is missing; {missing}")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != record.sha256:
            raise InputError(f"study '{self.name}': {name} is damaged (its checksum differs); {mend}")
        return pq.read_table(pa.BufferReader(data))

    # -- writing ------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the study's lock, having taken in what an interrupted run left; InputError while another writes."""
        with write_errors(self.folder):
            lock = FileLock(self.folder / ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise InputError(
                    f"study '{self.name}' is being measured by another process; wait for it or stop it first"
                ) from None
        try:
            self.manifest = _load_manifest(self.folder)
            self._reconcile()
            yield
        finally:
            lock.release()

    def update(self, **changes: Any) -> None:
        """Set fields of the manifest and save it."""
        for field, value in changes.items():
            setattr(self.manifest, field, value)
        self._save_manifest()

    def _reconcile(self) -> None:
        """Forget listed shards whose file was deleted, list whole files that a killed run had not listed yet."""
        changed = False
        for path in self.folder.glob(".*.partial"):
            path.unlink(missing_ok=True)
        for name in [name for name in self.manifest.shards if not (self.folder / name).is_file()]:
            del self.manifest.shards[name]
            changed = True
        for path in sorted(self.folder.glob("*.parquet")):
            if path.name not in self.manifest.shards:
                self.manifest.shards[path.name] = _record(path, pq.read_metadata(path).num_rows)
                changed = True
        if changed:
            self._save_manifest()

    def _save_manifest(self) -> None:
        text = self.manifest.model_dump_json(indent=1)
        write_atomic(self.folder / "manifest.json", lambda temporary: temporary.write_text(text, "utf-8"))


def create_study(folder: Path, manifest: Manifest, prompts: PromptSet, windows: pd.DataFrame) -> Study:
    """Start a study in a new folder; raises InputError where the folder cannot be written.

    The manifest is saved last: a folder without one is not a study yet, and is started over.
    """
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    study = Study(folder, manifest)
    study._write_table("prompts.parquet", pa.Table.from_pandas(prompts.frame, preserve_index=False))
    study._write_table("windows.parquet", pa.Table.from_pandas(windows, preserve_index=False))
    study._save_manifest()
    return study


def open_study(name: str = "default", root: str | os.PathLike | None = None) -> Study:
    """Open a study on disk, by name; raises InputError if there is none, or its manifest is damaged."""
    folder = study_folder(name, root)
    if not (folder / "manifest.json").is_file():
        known = list_studies(root)
        hint = nearest(name, known) if known else "there is none yet"
        raise InputError(
            f"no study '{name}': {hint}; make it with: python -m fasp_core score {name} --axes gender_and_sex"
        )
    return Study(folder, _load_manifest(folder))


def list_studies(root: str | os.PathLike | None = None) -> list[str]:
    """Names of the studies on disk, sorted."""
    folder = cache_root(root)
    if not folder.is_dir():
        return []
    names = (path.parent.name for path in folder.glob("*/manifest.json"))
    return sorted(name for name in names if NAME_PATTERN.fullmatch(name) and name not in NOT_STUDIES)


def delete_study(name: str, root: str | os.PathLike | None = None) -> None:
    """Delete a study with all that was measured for it, also a damaged one.

    Raises InputError if there is none, while a process writes it, and for a link, which leads elsewhere.
    """
    folder = study_folder(name, root)
    if folder.is_symlink() or not (folder / "manifest.json").is_file():
        raise InputError(f"there is no study '{name}' to delete; known: {', '.join(list_studies(root)) or 'none'}")
    with write_errors(folder):
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"study '{name}' is being measured; stop that first") from None
        lock.release()
        gone = folder.with_name(f".{name}.deleted")
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)  # at once, so that nobody meets half a study
        shutil.rmtree(gone)


def study_folder(name: str, root: str | os.PathLike | None = None) -> Path:
    """Where the study of this name lives; raises InputError for a name that could leave the cache folder."""
    if not NAME_PATTERN.fullmatch(name) or name in NOT_STUDIES:
        raise InputError(
            f"'{name}' cannot name a study: use letters, digits, '.', '_' and '-', starting with a letter or digit"
        )
    return cache_root(root) / name


def _load_manifest(folder: Path) -> Manifest:
    path = folder / "manifest.json"
    try:
        data = json.loads(path.read_text("utf-8"))
        if isinstance(data, dict) and data.get("schema_version") != SCHEMA_VERSION:
            raise InputError(
                f"study '{folder.name}' has schema version {data.get('schema_version')}, this program reads "
                f"{SCHEMA_VERSION}; open it with the version that made it"
            )
        return Manifest.model_validate(data)
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        what = str(error).splitlines()[0]
        raise InputError(
            f"study '{folder.name}' is damaged: manifest.json cannot be read ({what}); restore it from a copy, or "
            "delete the folder and score again"
        ) from error


def _record(path: Path, rows: int) -> ShardRecord:
    data = path.read_bytes()
    return ShardRecord(sha256=hashlib.sha256(data).hexdigest(), rows=rows, bytes=len(data))
