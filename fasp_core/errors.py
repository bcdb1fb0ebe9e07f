"""The errors this package raises on purpose, each with one line that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from fasp_core.limits import MAX_ERROR


class FaspError(Exception):
    """Base of every error raised on purpose; `str(error)` is one line: what is wrong and how to fix it."""

    def __str__(self) -> str:
        line = " ".join(super().__str__().splitlines())  # names from files may hold line breaks, and be long
        if len(line) <= MAX_ERROR:
            return line
        return f"{line[: MAX_ERROR // 2]} … {line[-MAX_ERROR // 2 :]}"  # the end says how to mend it


class InputError(FaspError, ValueError):
    """Something the user gave, or the machine it runs on, must be fixed first (exit status 2)."""


class RunError(FaspError, RuntimeError):
    """The work itself failed although the input was good (exit status 1)."""


class Cancelled(FaspError):
    """A run ended early because it was asked to stop; what it had finished is kept."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The end of an error line: the nearest allowed name, if any is near, and all allowed names."""
    names = sorted(allowed)
    near = [other for other in names if other.casefold() == name.casefold()]
    near = near or difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}known: {', '.join(names)}"


DONE, FAILED, BAD_INPUT, STOPPED, BROKEN_PIPE = 0, 1, 2, 130, 141


def another_scorer(study: str, name: str, made: str, now: str) -> str:
    """The line for a scorer whose fingerprint is no longer the one that made a study's numbers."""
    return (
        f"study '{study}' was scored with another '{name}' ({made}, now {now}); bring that one back, or score a study "
        "of another name"
    )
