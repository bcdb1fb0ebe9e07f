"""Scores that are kept once they were computed: a study that was looked at before opens at once. No torch here.

    cache/<name>/.scores/<metric>.<compensate>.<scored under>    a digest of 32 bytes, then a Parquet file

The digest is of the file's content and of all that the scores follow from: the study's manifest, the size and time of
each of its files, the program itself. Where it differs, the scores are computed anew and kept in its place.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fasp_core.errors import InputError
from fasp_core.files.writing import write_atomic
from fasp_core.models.compensation_choice import Compensate
from fasp_core.selection.group_effects import GroupEffects
from fasp_core.selection.head_scores import HeadScores, read_description
from fasp_core.study.folder import KEPT, StudyFolder
from fasp_core.study.manifest import manifest_text
from fasp_core.study.scores import METRICS, choosing_scores, chosen_under

GAPS_KEY = b"group_gaps"
EFFECT, EFFECT_SE = "effect of ", "error of the effect of "  # columns, before the axis and the number of the group
DIGEST_BYTES = hashlib.sha256().digest_size
LIBRARIES = ("numpy", "pandas", "scipy")


def kept_scores(
    study: StudyFolder, axis: str | None, *, metric: str, compensate: Compensate, scorer: str | None = None
) -> HeadScores:
    """What `choosing_scores` gives, read where it was computed before. Raises as `choosing_scores`.

    Not kept is on how many prompts `prompt_echo` rests. Nothing is kept of a scorer that was named, of imported
    scores, and where the folder cannot be written.
    """
    if scorer is not None or not study.has_model or metric not in METRICS:
        return choosing_scores(study, axis, metric=metric, compensate=compensate, scorer=scorer)
    path = study.folder / KEPT / f"{metric}.{compensate}.{chosen_under(study, axis, metric, compensate)}"
    follows_from = _origin(study)
    if (scores := _read(path, follows_from, study)) is not None:
        return scores
    scores = choosing_scores(study, axis, metric=metric, compensate=compensate)
    with suppress(InputError, FileNotFoundError):  # a full disk, a folder that is not ours, or one that is gone by now
        _keep(scores, path, follows_from)
    return scores


def _keep(scores: HeadScores, path: Path, follows_from: bytes) -> None:
    body = BytesIO()
    pq.write_table(_to_table(scores), body)
    digest = hashlib.sha256(follows_from + body.getvalue()).digest()
    write_atomic(path, lambda temporary: temporary.write_bytes(digest + body.getvalue()))


def _read(path: Path, follows_from: bytes, study: StudyFolder) -> HeadScores | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, body = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    if hashlib.sha256(follows_from + body).digest() != digest:
        return None
    return _from_table(pq.read_table(pa.BufferReader(body)), study)


def _origin(study: StudyFolder) -> bytes:
    """What the scores of a study follow from as it was opened, in 32 bytes; more may have been measured since."""
    found = hashlib.sha256(_program() + manifest_text(study.manifest).encode())
    for name in sorted(study.manifest.shards):
        with suppress(FileNotFoundError):
            status = (study.folder / name).stat()
            found.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return found.digest()


@cache
def _program() -> bytes:
    """The engine's own source and the libraries it computes with, in 32 bytes; they stay while the process runs."""
    engine = Path(__file__).resolve().parent.parent
    found = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in LIBRARIES).encode())
    for path in sorted(engine.rglob("*.py")):
        found.update(f"{path.relative_to(engine)}\n".encode() + path.read_bytes())
    return found.digest()


def _to_table(scores: HeadScores) -> pa.Table:
    """All of the scores, effects on groups included, which `HeadScores.to_table` leaves out."""
    table = scores.to_table()
    metadata = dict(table.schema.metadata)
    gaps = {}
    for axis, known in scores.group_effects.items():
        gaps[axis] = {"groups": known.groups, "gaps": known.gaps.tolist(), "gaps_se": known.gaps_se.tolist()}
        for name, values in ((EFFECT, known.effects), (EFFECT_SE, known.effects_se)):
            for group, column in enumerate(np.asarray(values, float).T):
                table = table.append_column(f"{name}{axis}.{group}", pa.array(column))
    return table.replace_schema_metadata({**metadata, GAPS_KEY: json.dumps(gaps).encode()})


def _from_table(table: pa.Table, study: StudyFolder) -> HeadScores:
    frame, about = table.to_pandas(ignore_metadata=True), read_description(table.schema.metadata, study.name)
    effects = {
        axis: GroupEffects(
            tuple(known["groups"]),
            np.array(known["gaps"], float),
            np.array(known["gaps_se"], float),
            *(_columns(frame, f"{name}{axis}.", len(known["groups"])) for name in (EFFECT, EFFECT_SE)),
        )
        for axis, known in json.loads(table.schema.metadata[GAPS_KEY]).items()
    }
    plain = frame[[name for name in frame.columns if not name.startswith((EFFECT, EFFECT_SE))]]
    return HeadScores(plain, study.n_layers, study.heads_per_layer, *about, effects)


def _columns(frame: pd.DataFrame, prefix: str, n: int) -> np.ndarray:
    return frame[[f"{prefix}{i}" for i in range(n)]].to_numpy(float)
