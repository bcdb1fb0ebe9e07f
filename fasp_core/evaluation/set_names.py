"""Names and pins that people gave to measured sets of heads: a small file of its own, `.sets/STUDY.json`.

Unlike measurements they cannot be made again, so they stay when the database is deleted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

from filelock import FileLock
from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from fasp_core.errors import InputError
from fasp_core.evaluation.keys import pruned_name
from fasp_core.files.paths import cache_root
from fasp_core.files.writing import write_atomic, write_errors
from fasp_core.head import Head
from fasp_core.limits import MAX_SET_NAME
from fasp_core.models.compensation_choice import Compensate
from fasp_core.study.study import Study


class Note(TypedDict, total=False):
    """What a person noted of a set."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]  # what pydantic asks for
    name: Annotated[str, Field(max_length=MAX_SET_NAME)]
    pinned: bool


_NOTE = TypeAdapter(Note)


def name_set(
    study: Study,
    pruned: Iterable[Head],
    name: str,
    root: str | os.PathLike[str] | None = None,
    *,
    compensate: Compensate = "none",
) -> None:
    """Give a pruned model a name; "" takes it away. Raises InputError for one that is too long."""
    name = " ".join(name.split())
    if len(name) > MAX_SET_NAME:
        raise InputError(f"the name has {len(name)} characters; use at most {MAX_SET_NAME}")
    _note(study, pruned_name(pruned, compensate), root, {"name": name})


def pin_set(
    study: Study,
    pruned: Iterable[Head],
    pinned: bool,
    root: str | os.PathLike[str] | None = None,
    *,
    compensate: Compensate = "none",
) -> None:
    """Pin a pruned model, or unpin it."""
    _note(study, pruned_name(pruned, compensate), root, {"pinned": pinned})


def move_notes(study: str, new: str, root: str | os.PathLike[str] | None = None) -> None:
    """Have the names and pins of a study's sets follow when the study is renamed."""
    if read_notes(root, study):
        with _writing(_notes_file(root, new)) as path:
            _notes_file(root, study).replace(path)


def read_notes(root: str | os.PathLike[str] | None, study: str) -> dict[str, Note]:
    """What people noted of a study's sets, by `keys.pruned_name`; a damaged file counts as empty."""
    return _read(_notes_file(root, study))[0]


def damaged_notes(root: str | os.PathLike[str] | None, study: str) -> str:
    """The line for a file of names of which not all can be read; "" for a good one."""
    path = _notes_file(root, study)
    if not _read(path)[1]:
        return ""
    return (
        f"{path} is damaged: names and pins that cannot be read are left out. The next one that you give keeps a copy"
    )


def _read(path: Path) -> tuple[dict[str, Note], bool]:
    """The legible notes of a file, and whether there is anything else in it."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}, False
    except (OSError, ValueError, RecursionError):
        return {}, True
    if not isinstance(content, dict):
        return {}, True
    notes = {}
    for heads, note in content.items():
        with suppress(ValueError):
            notes[heads] = _NOTE.validate_python(note)
    return notes, len(notes) < len(content)


def _note(study: Study, key: str, root: str | os.PathLike[str] | None, changed: Note) -> None:
    root = root or study.folder.parent
    with _writing(_notes_file(root, study.name)) as path:
        notes, damaged = _read(path)
        if damaged:
            path.replace(path.with_suffix(".damaged"))
        notes[key] = {**notes.get(key, {}), **changed}
        if not any(notes[key].values()):
            del notes[key]
        text = json.dumps(notes, indent=1, ensure_ascii=False)
        write_atomic(path, lambda temporary: temporary.write_text(text, "utf-8"))


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            yield path


def _notes_file(root: str | os.PathLike[str] | None, study: str) -> Path:
    return Path(cache_root(root)) / ".sets" / f"{study}.json"
