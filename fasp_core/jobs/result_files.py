"""The file that holds the result of a job which answers a page's question: named by what was asked."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from fasp_core.files.paths import cache_root
from fasp_core.files.writing import write_errors

MOST_KEPT = 100
T = TypeVar("T")


def result_file(folder: str, *asked: str | None) -> Path:
    """The file of a result in this folder of the cache; what is `asked` names it, so the same question has the same."""
    digest = sha256(json.dumps(asked).encode()).hexdigest()[:24]
    return cache_root() / folder / f"{digest}.json"


def make_room(path: Path) -> None:
    """Make the folder of a result; the oldest results in it beyond `MOST_KEPT` go."""
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = sorted(path.parent.glob("*.json"), key=lambda file: -file.stat().st_mtime)
        for old in kept[MOST_KEPT - 1 :]:
            old.unlink(missing_ok=True)


def read_result(path: Path, name: str, kind: TypeAdapter[T]) -> T | None:
    """What a result's file holds under this name, or None while there is nothing that can be read."""
    try:
        return kind.validate_python(json.loads(path.read_text("utf-8"))[name])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
