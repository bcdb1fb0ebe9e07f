"""Scores of others as studies: read from a file, kept in a folder, explored and selected on; there is no model.

    import_scores("head_scores_gpt2.csv")                        # a study named head_scores_gpt2
    import_scores("head_contributions.json", model="gpt2")       # a study named head_contributions.gpt2

    cache/<name>/manifest.json     kind "imported"; the model's name and layout, the file's name and checksum
                 scores.parquet    the `HeadScores`, with all that is known of them

The folder appears whole or not at all. What needs the model (samples, evaluation) raises one InputError. No torch here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from .errors import InputError
from .folders import new_folder, replaced_folder
from .head_scores import HeadScores, read_head_scores, read_meta
from .study import Manifest, Study, open_study, study_folder
from .tables import MAX_JSON_BYTES, read_bytes, read_text

SCORES = "scores.parquet"


def import_scores(
    path: str | os.PathLike, *, name: str | None = None, model: str | None = None, n_layers: int | None = None,
    root: str | os.PathLike | None = None, force: bool = False,
) -> Study:  # fmt: skip
    """A study of the head scores in a file (see `read_head_scores`, which `model` and `n_layers` are for).

    `name` is by default the file's, followed by the model's where the file may hold several (JSON). With `force` an
    earlier import of that name is replaced, but never a study that was measured.
    Raises InputError for a file that cannot be read as head scores, and for a name that is taken or cannot be one.
    """
    path = Path(path)
    scores = read_head_scores(path, model=model, n_layers=n_layers)
    made = scores.meta.get("model")
    made = {"name": made} if isinstance(made, str) else dict(made or {})
    name = name or _name_for(path, made.get("name") if path.suffix == ".json" else None)
    origin = {"file": path.name, "sha256": hashlib.sha256(read_bytes(path)).hexdigest()}
    scores.meta.update(source=path.name, settings=origin)
    manifest = Manifest(
        kind="imported", name=name, created=datetime.now(UTC).isoformat(timespec="seconds"),
        model={
            **made, "name": made.get("name") or "unknown", "n_layers": scores.n_layers,
            "heads_per_layer": scores.heads_per_layer,
        },
        prompts={}, text={}, settings=origin, axes=scores.axes, notes=scores.meta.get("notes") or [],
    )  # fmt: skip
    with _folder_for(name, root, force=force) as partial:
        Study(partial, manifest).write_shard(SCORES, scores.to_table())
    return open_study(name, root)


def models_in(path: str | os.PathLike) -> list[str]:
    """The models whose scores a `head_contributions.json` holds, in its order; none for other files."""
    path = Path(path)
    if path.suffix != ".json":
        return []
    try:
        data = json.loads(read_text(path, MAX_JSON_BYTES))
    except (ValueError, RecursionError):  # InputError is a ValueError
        return []  # `read_head_scores` says what is wrong with it
    return list(data) if isinstance(data, dict) else []


def imported_scores(study: Study, *, scorer: str | None = None) -> HeadScores:
    """The scores that a study was imported with; raises InputError if they are damaged, or a `scorer` is asked for."""
    if scorer is not None:
        raise InputError(f"study '{study.name}' holds imported scores, whose scorer cannot be chosen; leave it out")
    table, where = study.read_shard(SCORES), f"study '{study.name}' is damaged"
    try:
        meta = {**read_meta(table.schema.metadata, SCORES), "study": study.name}
        return HeadScores(table.to_pandas(ignore_metadata=True), study.n_layers, study.heads_per_layer, meta)
    except InputError as error:
        raise InputError(f"{where}: {error}; import the file again, with --force") from error


def _name_for(path: Path, model: str | None) -> str:
    """A name for a study, of the file's name and the model's, without what a folder's name cannot hold."""
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-._") for part in (path.stem, model or "")]
    return ".".join(filter(None, parts))[:100] or "imported"


def _folder_for(name: str, root: str | os.PathLike | None, *, force: bool) -> AbstractContextManager[Path]:
    """The new folder of a study; raises InputError if the name is taken by what must not be replaced."""
    folder = study_folder(name, root)
    if not os.path.lexists(folder):
        return new_folder(folder)
    if not (folder / "manifest.json").is_file() or folder.is_symlink():
        raise InputError(f"{folder} is there already and is no study; choose another name with --name")
    if open_study(name, root).has_model:
        raise InputError(f"study '{name}' was measured, and imports do not replace it; choose another name with --name")
    if not force:
        raise InputError(
            f"study '{name}' is there already; choose another name with --name, or replace it with --force"
        )
    return replaced_folder(folder)
