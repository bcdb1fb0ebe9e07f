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
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from fasp_core.data.frames import PACKAGED_SCORES
from fasp_core.errors import InputError
from fasp_core.files.reading import read_bytes, read_text
from fasp_core.files.writing import new_folder, replaced_folder
from fasp_core.limits import MAX_HEADS, MAX_JSON_BYTES, MAX_LAYERS
from fasp_core.selection.description import MadeBy
from fasp_core.selection.score_files import read_head_scores
from fasp_core.study.manifest import ImportedFrom, Manifest
from fasp_core.study.scores import SCORES
from fasp_core.study.study import Study, list_studies, open_study, study_folder

EXAMPLE = "gpt2-published"  # the name of the study that `example_study` makes


def import_scores(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    model: str | None = None,
    n_layers: int | None = None,
    root: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Study:
    """A study of the head scores in a file (see `read_head_scores`, which `model` and `n_layers` are for).

    `name` is by default the file's, followed by the model's where the file may hold several (JSON). With `force` an
    earlier import of that name is replaced, but never a study that was measured.
    Raises InputError for a file that cannot be read as head scores, and for a name that is taken or cannot be one.
    """
    path = Path(path)
    scores = read_head_scores(path, model=model, n_layers=n_layers)
    if scores.n_layers > MAX_LAYERS or scores.n_heads > MAX_HEADS:
        raise InputError(
            f"{path.name}: {scores.n_layers:,} layers × {scores.heads_per_layer:,} heads is no model that this program "
            f"knows (at most {MAX_LAYERS:,} layers, {MAX_HEADS:,} heads); check --n-layers"
        )
    made = scores.meta.model.to_json() if scores.meta.model else {}
    made = {name: value for name, value in made.items() if isinstance(value, str) or name == "head_dim"}
    name = name or _name_for(path, made.get("name") if path.suffix == ".json" else None)
    origin = ImportedFrom(path.name, hashlib.sha256(read_bytes(path)).hexdigest())
    meta = scores.meta.model_copy(update={"source": path.name, "settings": MadeBy(**asdict(origin))})
    manifest = Manifest(
        kind="imported",
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model={
            **made,
            "name": made.get("name") or "unknown",
            "n_layers": scores.n_layers,
            "heads_per_layer": scores.heads_per_layer,
        },
        prompts={},
        text={},
        settings=origin,
        axes=scores.axes,
        notes=meta.notes,
    )
    with _folder_for(name, root, force=force) as partial:
        Study(partial, manifest).write_shard(SCORES, replace(scores, meta=meta).to_table())
    return open_study(name, root)


def example_study(root: str | os.PathLike[str] | None = None) -> Study:
    """The head scores of GPT-2 as FASP's authors published them, which come with the project, as a study.

    It is imported when it is first asked for. Raises InputError where another study has its name.
    """
    if EXAMPLE not in list_studies(root):
        return import_scores(PACKAGED_SCORES, name=EXAMPLE, root=root)
    study = open_study(EXAMPLE, root)
    if study.has_model:
        raise InputError(f"study '{EXAMPLE}' was measured here; rename it to see the published scores under that name")
    return study


def models_in(path: str | os.PathLike[str]) -> list[str]:
    """The models whose scores a `head_contributions.json` holds, in its order; none for other files."""
    path = Path(path)
    if path.suffix != ".json":
        return []
    try:
        data = json.loads(read_text(path, MAX_JSON_BYTES))
    except (ValueError, RecursionError):  # InputError is a ValueError
        return []  # `read_head_scores` says what is wrong with it
    return list(data) if isinstance(data, dict) else []


def _name_for(path: Path, model: str | None) -> str:
    """A name for a study, of the file's name and the model's, without what a folder's name cannot hold."""
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-._") for part in (path.stem, model or "")]
    return ".".join(filter(None, parts))[:100] or "imported"


def _folder_for(name: str, root: str | os.PathLike[str] | None, *, force: bool) -> AbstractContextManager[Path]:
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
