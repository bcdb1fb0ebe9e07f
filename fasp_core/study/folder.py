"""The study folder: one model × prompts × scorer × settings, and all that was measured for it.

    cache/<name>/manifest.json              what made it, and a checksum for every shard
                 prompts.parquet            the prompt set, whole
                 prompts.<axis>.parquet     an axis added later, of a set too large to be kept whole
                 windows.parquet            the text windows: article, split, token ids
                 pairs.parquet              the pairs that the likelihood metric compares
                 <kind>.<axis|text>.….parquet            what was measured, see `shard_names`
                 .scores/                   what was computed from it, see `kept_scores`

A study of imported scores has a manifest of kind "imported" and one file, scores.parquet (see `importing`).

A shard appears under its name only when it is whole, is never written twice and never changed: killing a run at any
moment loses at most the shard in the making. One process writes a study at a time. No torch here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from fasp_core.data.prompt_set import PromptSet
from fasp_core.errors import InputError, another_scorer, nearest
from fasp_core.files.writing import write_atomic, write_errors
from fasp_core.study.manifest import Manifest, StudySettings, load_manifest, manifest_text, shard_record
from fasp_core.study.shard_names import (
    ADVANTAGE,
    GRADIENT,
    MAGNITUDE,
    ODDS,
    PAIRS,
    SUMS,
    TOXICITY,
    ShardName,
    parse,
    shard_of,
)

KEPT = ".scores"  # no shards: may be deleted at any time
PROMPTS_PATTERN = re.compile(r"prompts\.[A-Za-z0-9_-]+\.parquet")
TABLES = ("prompts.parquet", "windows.parquet", "scores.parquet", PAIRS, MAGNITUDE)  # of a study, besides its shards
# Measured numbers hardly repeat: without dictionaries shards of log-ratios are a third smaller.
STORED_AS = {"compression": "zstd", "use_dictionary": False}


class StudyFolder:
    """An open study folder. Reading needs no lock; writing happens inside `writing()`."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self._remembered: dict[str, pa.Table] | None = None  # by checksum
        self._prompts: tuple[object, PromptSet] | None = None  # the last ones read, of these files as they were

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def n_layers(self) -> int:
        """L, layers of the model."""
        return cast(int, self.manifest.model["n_layers"])  # checked by the manifest

    @property
    def heads_per_layer(self) -> int:
        """H, query heads per layer."""
        return cast(int, self.manifest.model["heads_per_layer"])

    @property
    def axes(self) -> list[str]:
        """The axes that have scores: one whose run was stopped before its first shard is in the manifest only."""
        if not self.has_model:
            return list(self.manifest.axes)
        measured = {name.stream for name in self._parsed().values() if name.kind in (GRADIENT, ADVANTAGE, SUMS)}
        return [axis for axis in self.manifest.axes if axis in measured]

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
    def settings(self) -> StudySettings:
        """What the measurements depend on besides model and data; raises InputError for imported scores."""
        self.require_model()
        return cast(StudySettings, self.manifest.settings)  # checked by the manifest

    @property
    def model_record(self) -> dict[str, Any]:
        """What opens the model again, and how it is recognised; raises InputError for imported scores."""
        self.require_model()
        return self.manifest.model

    def scorer_record(self, name: str | None = None) -> tuple[str, str, str | None]:
        """Name, reference and fingerprint of one of the study's scorers, by default the first.

        The fingerprint is None while it has rated no text here. Raises InputError for a name the study does not know.
        """
        known = self.manifest.scorers
        name = next(iter(known), None) if name is None else name
        if name not in known:
            raise InputError(f"study '{self.name}' has no scores of '{name}'; {nearest(str(name), known)}")
        return name, self.manifest.scorer_refs.get(name, name), known[name] if self.is_rated_by(name) else None

    def is_rated_by(self, scorer: str) -> bool:
        """Whether any text of the study was rated by the scorer of this name."""
        return any((name.kind, name.scorer) == (TOXICITY, scorer) for name in self._parsed().values())

    def check_scorer(self, name: str, fingerprint: str) -> None:
        """Raise InputError if the study holds scores of another scorer under this name."""
        made = self.manifest.scorers.get(name, fingerprint)
        if made != fingerprint and self.is_rated_by(name):
            raise InputError(another_scorer(self.name, name, made, fingerprint))

    @property
    def prompts(self) -> PromptSet:
        """The study's own copy of its prompt set; of a large one, the axes that were asked for."""
        self.require_model()
        added = [name for name in sorted(self.manifest.shards) if PROMPTS_PATTERN.fullmatch(name)]
        names = ("prompts.parquet", *added)
        files = [(name, _stamp(self.folder / name)) for name in names]
        if self._prompts is not None and self._prompts[0] == files:
            return self._prompts[1]
        frame = pd.concat([self._read(name).to_pandas() for name in names], ignore_index=True)
        prompts = PromptSet(name=self.manifest.prompts.get("name", ""), frame=frame)
        self._prompts = files, prompts
        return prompts

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
        likelihood = any(name.kind == ODDS for name in self._parsed().values())
        return ["toxicity"] * bool(self.axes) + ["likelihood"] * likelihood

    # -- shards -------------------------------------------------------------------------------------------------

    def shard_names(self, kind: str, stream: str, *, scorer: str | None = None) -> list[str]:
        """Finished shards of one kind and stream (see `shard_names`), in order; of ratings, those by `scorer`."""
        wanted = (kind, stream, scorer)
        return sorted(name for name, of in self._parsed().items() if (of.kind, of.stream, of.scorer) == wanted)

    def _parsed(self) -> dict[str, ShardName]:
        parsed = ((name, parse(name)) for name in self.manifest.shards)
        return {name: of for name, of in parsed if of is not None}

    def has_shard(self, name: str) -> bool:
        """Whether this shard is finished."""
        return name in self.manifest.shards

    def unmeasured(self, names: Iterable[str]) -> set[str]:
        """Those of the names that were not measured: neither there nor folded into sums (see `compaction`).

        The manifest is gone through once for each stream and scorer, however many shards are asked for.
        """
        n_folded = cache(self.n_folded)

        def is_folded(of: ShardName | None) -> bool:
            return bool(of and of.kind == ADVANTAGE and of.scorer and of.shard < n_folded(of.stream, of.scorer))

        return {name for name in names if not (self.has_shard(name) or is_folded(parse(name)))}

    def sums_shard(self, axis: str, scorer: str) -> str | None:
        """The shard of sums that the most shards of advantages were folded into; None where none were."""
        return max(self.shard_names(SUMS, axis, scorer=scorer), default=None)

    def n_folded(self, axis: str, scorer: str) -> int:
        """How many shards of advantages, the first ones, were folded into sums."""
        name = self.sums_shard(axis, scorer)
        return 0 if name is None else shard_of(name).shard + 1

    def read_shard(self, name: str) -> pa.Table:
        """A finished shard; raises InputError if the file is missing or is not what was written."""
        return self._read(name)

    def write_shard(self, name: str, table: pa.Table) -> None:
        """Add a shard, whole or not at all, and list it in the manifest."""
        self.write_table(name, table)
        self.save_manifest()

    def drop_shards(self, names: Iterable[str]) -> None:
        """Forget shards, then delete their files: what a kill leaves of them is listed again, and does no harm."""
        gone = list(names)
        for name in gone:
            del self.manifest.shards[name]
        self.save_manifest()
        for name in gone:
            (self.folder / name).unlink(missing_ok=True)

    def add_scorer(self, name: str, ref: str, fingerprint: str) -> None:
        """Note that this scorer rates the study's texts, and what opens it again; forget those that rated none."""
        made = self.manifest
        used = [n for n in made.scorers if self.is_rated_by(n)]
        self.update(
            scorers={n: made.scorers[n] for n in used} | {name: fingerprint},
            scorer_refs={n: made.scorer_refs[n] for n in used if n in made.scorer_refs} | {name: ref},
        )

    def add_prompts(self, prompts: PromptSet) -> None:
        """Add the axes of the study's prompt set that it does not hold yet, one file each."""
        there = self.prompts.axes
        for axis in prompts.axes:
            if axis not in there:
                frame = prompts.select(axes=[axis]).frame
                self.write_shard(f"prompts.{axis}.parquet", pa.Table.from_pandas(frame, preserve_index=False))

    def write_table(self, name: str, table: pa.Table) -> None:
        path = self.folder / name
        write_atomic(path, lambda temporary: pq.write_table(table, temporary, **STORED_AS))
        record = self.manifest.shards[name] = shard_record(path, table.num_rows)
        if self._remembered is not None:
            self._remembered[record.sha256] = table

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Keep what is read or written while inside: a shard never changes, so none is read and checked twice."""
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
        data = _bytes_of(path)
        if record is None or data is None:
            raise InputError(f"study '{self.name}': {name} is missing; {missing}")
        if hashlib.sha256(data).hexdigest() != record.sha256:
            raise InputError(f"study '{self.name}': {name} is damaged (its checksum differs); {mend}")
        return pq.read_table(pa.BufferReader(data))

    # -- writing ------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the study's lock; first the manifest is brought in line with the files that an interrupted run left.

        Raises InputError while another process writes the study.
        """
        with write_errors(self.folder):
            lock = FileLock(self.folder / ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise InputError(
                    f"study '{self.name}' is being measured by another process; wait for it or stop it first"
                ) from None
        try:
            self.manifest = load_manifest(self.folder)
            self._reconcile()
            yield
        finally:
            lock.release()

    def update(self, **changes: Any) -> None:
        """Set fields of the manifest and save it."""
        for field, value in changes.items():
            setattr(self.manifest, field, value)
        self.save_manifest()

    def _reconcile(self) -> None:
        """Drop listed shards whose file was deleted, and list whole ones that a killed run had not listed yet.

        Other files are left alone. Raises InputError for a shard that cannot be read.
        """
        for path in (*self.folder.glob(".*.partial"), *self.folder.glob(f"{KEPT}/.*.partial")):
            path.unlink(missing_ok=True)
        listed = self.manifest.shards
        self.manifest.shards = {name: record for name, record in listed.items() if (self.folder / name).is_file()}
        for path in sorted(self.folder.glob("*.parquet")):
            if path.name not in self.manifest.shards and _is_ours(path.name):
                try:
                    rows = pq.read_metadata(path).num_rows
                except (OSError, ValueError) as error:  # ValueError: what pyarrow finds invalid
                    raise InputError(f"{path}: is no Parquet file; delete it, it will be measured again") from error
                self.manifest.shards[path.name] = shard_record(path, rows)
        if self.manifest.shards != listed:
            self.save_manifest()

    def save_manifest(self) -> None:
        text = manifest_text(self.manifest)
        write_atomic(self.folder / "manifest.json", lambda temporary: temporary.write_text(text, "utf-8"))


def _is_ours(name: str) -> bool:
    """Whether a file of this name belongs to a study."""
    return name in TABLES or PROMPTS_PATTERN.fullmatch(name) is not None or parse(name) is not None


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file does, its time and size; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _bytes_of(path: Path) -> bytes | None:
    """What a file holds; None where there is none, also where it is deleted just now."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
