"""The errors this package raises on purpose, each with one line that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FaspError(Exception):
    """Base of every error raised on purpose; `str(error)` is one line: what is wrong and how to mend it."""

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())  # names from files may hold line breaks


class InputError(FaspError, ValueError):
    """Something the user gave, or the machine it runs on, must be mended first (exit status 2)."""


class RunError(FaspError, RuntimeError):
    """The work itself failed although the input was good (exit status 1)."""


class Cancelled(FaspError):
    """A run ended early because it was asked to stop; what it had finished is kept."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The end of an error line: the nearest allowed name, if any is near, and all allowed names."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}known: {', '.join(names)}"
