"""JSON that somebody else made: bounded in size, and what is not as it should be is named by file and place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import InputError
from .tables import read_text


def read_json_object(path: Path, what: str) -> dict[str, Any]:
    """The object a JSON file holds; raises InputError for what is no JSON, or no object with something in it."""
    text = read_text(path)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f", row {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep or a number out of range"
        raise InputError(f"{path}{place}: not JSON ({reason}); get the file again") from error
    if "\\ud" in text.lower() and not _is_unicode(data):
        raise InputError(f"{path}: holds half of a character (\\ud…), which is no text; get the file again")
    if not isinstance(data, dict) or not data:
        raise InputError(f"{path}: must hold {what}, as a JSON object; get the file again")
    return data


def _is_unicode(data: Any) -> bool:
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def bad(path: Path, place: str, value: object, needs: str) -> InputError:
    """The error for a value at a place (`axis 'age', bucket 'old'`) that is not what it needs to be."""
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= 60 else f"{shown[:57]}…"
    return InputError(f"{path}, {place}: {shown} must be {needs}; mend it or get the file again")
