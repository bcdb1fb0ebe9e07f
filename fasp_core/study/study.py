"""A study, as users hold it: open, list, make, rename and delete studies; scores and samples. No torch here."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
from filelock import FileLock, Timeout

from fasp_core.data.prompt_set import PromptSet
from fasp_core.errors import InputError, nearest
from fasp_core.files.paths import cache_root
from fasp_core.files.writing import write_errors
from fasp_core.models.compensation_choice import Compensate
from fasp_core.selection.description import BiasVerdict
from fasp_core.selection.head_scores import HeadScores
from fasp_core.study.folder import StudyFolder
from fasp_core.study.manifest import Manifest, load_manifest
from fasp_core.study.scores import head_scores, imported_scores
from fasp_core.study.verdicts import bias_verdicts
from fasp_core.study.views import measured_axes, sample_frame

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NOT_STUDIES = {"models", "exports"}


class Study(StudyFolder):
    """An open study: the folder, and what was measured in it as tables."""

    def __repr__(self) -> str:
        return f"<Study {self.name}: {self.n_layers} layers × {self.heads_per_layer} heads>"

    def scores(
        self, scorer: str | None = None, *, metric: str = "toxicity", compensate: Compensate = "none"
    ) -> HeadScores:
        """The scores of everything measured so far (see `study.scores.head_scores`), or those that were imported."""
        if self.has_model:
            return head_scores(self, scorer=scorer, metric=metric, compensate=compensate)
        if metric != "toxicity" or compensate != "none":
            what = f"by {metric}" if metric != "toxicity" else "under compensation"
            raise InputError(f"study '{self.name}' holds imported scores, and none {what}")
        return imported_scores(self, scorer=scorer)

    def omnibus(self, axis: str, scorer: str | None = None, *, metric: str = "toxicity") -> BiasVerdict | None:
        """Whether an axis has a bias at all, None for one of one group; p-values are adjusted for all axes (Holm).

        Raises InputError for an axis that was not measured, and for imported scores.
        """
        self.require_model()
        measured = measured_axes(self, metric)
        if axis not in measured:
            raise InputError(f"study '{self.name}' has no axis '{axis}' by {metric}; {nearest(axis, measured)}")
        with self.remembering():
            return bias_verdicts(self, measured, metric=metric, scorer=scorer)[axis]

    def samples(self, axis: str, scorer: str | None = None) -> pd.DataFrame:
        """The continuations of one axis: prompt_id, draw, axis, group, prompt, continuation, toxicity."""
        self.require_model()
        return sample_frame(self, axis, scorer=scorer)


def create_study(folder: Path, manifest: Manifest, prompts: PromptSet, windows: pd.DataFrame) -> Study:
    """Start a study in a new folder; raises InputError where the folder cannot be written.

    The manifest is saved last: a folder without one is not a study yet, and is started over.
    """
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    study = Study(folder, manifest)
    study.write_table("prompts.parquet", pa.Table.from_pandas(prompts.frame, preserve_index=False))
    study.write_table("windows.parquet", pa.Table.from_pandas(windows, preserve_index=False))
    study.save_manifest()
    return study


def open_study(name: str = "default", root: str | os.PathLike[str] | None = None) -> Study:
    """Open a study on disk, by name; raises InputError if there is none, or its manifest is damaged."""
    folder = study_folder(name, root)
    if not (folder / "manifest.json").is_file():
        known = list_studies(root)
        hint = nearest(name, known) if known else "there is none yet"
        raise InputError(
            f"no study '{name}': {hint}; make it with: python -m fasp_core score {name} --axes gender_and_sex"
        )
    return Study(folder, load_manifest(folder))


def list_studies(root: str | os.PathLike[str] | None = None) -> list[str]:
    """Names of the studies on disk, sorted."""
    folder = cache_root(root)
    if not folder.is_dir():
        return []
    names = (path.parent.name for path in folder.glob("*/manifest.json"))
    return sorted(name for name in names if NAME_PATTERN.fullmatch(name) and name not in NOT_STUDIES)


def delete_study(name: str, root: str | os.PathLike[str] | None = None) -> None:
    """Delete a study with all that was measured for it, also a damaged one.

    Raises InputError if there is none, while a process writes it, and for a link, which leads elsewhere.
    """
    folder = study_folder(name, root)
    if folder.is_symlink() or not (folder / "manifest.json").is_file():
        raise InputError(f"there is no study '{name}' to delete; known: {', '.join(list_studies(root)) or 'none'}")
    with write_errors(folder):
        _require_unlocked(folder)
        gone = folder.with_name(f".{name}.deleted")
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)  # at once, so that no reader sees half a study
        shutil.rmtree(gone)


def rename_study(name: str, new: str, root: str | os.PathLike[str] | None = None) -> None:
    """Give a study another name; what was measured for it stays.

    Raises InputError where there is no such study, the new name is taken or cannot name a study, while a process
    writes the study, and for a link, which leads elsewhere.
    """
    folder, target = study_folder(name, root), study_folder(new, root)
    if folder.is_symlink() or not (folder / "manifest.json").is_file():
        raise InputError(f"there is no study '{name}' to rename; known: {', '.join(list_studies(root)) or 'none'}")
    if target.exists():
        raise InputError(f"the name '{new}' is taken; choose another one")
    with write_errors(folder):
        _require_unlocked(folder)
        folder.rename(target)


def _require_unlocked(folder: Path) -> None:
    """Raise InputError while a process writes the study."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"study '{folder.name}' is being measured; stop that first") from None
    lock.release()


def study_folder(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """Where the study of this name lives; raises InputError for a name that could leave the cache folder."""
    if not NAME_PATTERN.fullmatch(name) or name in NOT_STUDIES:
        raise InputError(
            f"'{name}' cannot name a study: use letters, digits, '.', '_' and '-', starting with a letter or digit"
        )
    return cache_root(root) / name
