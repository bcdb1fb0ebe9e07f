"""A scorer of the user's own: `module:function`, a function in a .py file of the working directory.

    # my_scorer.py
    def score(texts):                                  # a list of str
        return [float("idiot" in text) for text in texts]  # as many numbers in [0, 1]

The file's content is the fingerprint. A study that comes from elsewhere can therefore not make code run that is not in
the working directory already, word for word: the content is compared before anything is imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from fasp_core.access import check_scorer_listed
from fasp_core.errors import InputError, nearest

REF = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", re.ASCII)


class UserScorer:
    """The function named by `ref`, `module:function`; with `expected`, only if its fingerprint is that one.

    Raises InputError where the name, the file, its import or the function is not as it should be.
    """

    def __init__(self, ref: str, *, expected: str | None = None) -> None:
        named = REF.fullmatch(ref)
        if not named:
            raise InputError(f"unknown scorer '{ref}'; one of your own is module:function, such as my_scorer:score")
        check_scorer_listed(ref)
        module, function = named.groups()
        self.ref, self.name = ref, f"{module}-{function}".replace(".", "-")[:60]
        path = Path.cwd().joinpath(*module.split(".")).with_suffix(".py")
        try:
            source = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"scorer '{ref}': there is no {'/'.join(module.split('.'))}.py in the working directory; start the "
                "program in the folder that holds it"
            ) from error
        self.fingerprint = hashlib.sha256(source + b"\0" + function.encode()).hexdigest()[:16]
        if expected not in (None, self.fingerprint):
            raise InputError(
                f"scorer '{ref}' is not the one that made the study's scores: {path.name} has changed; bring it back, "
                "or give the new one another name and score with it"
            )
        self._function = _load(path, source, ref, function, self.fingerprint)

    def score(self, texts: Sequence[str]) -> Any:
        """What the function gives for the texts; raises InputError, with its error in one line, if it fails."""
        try:
            with _working_directory_first():
                return self._function(list(texts))
        except Exception as error:
            raise InputError(f"scorer '{self.ref}' failed: {_line(error)}; fix the function") from error


def _load(path: Path, source: bytes, ref: str, function: str, fingerprint: str) -> Callable[[list[str]], Any]:
    """Run the file under a name of its own and take the function from it."""
    name = f"user_scorer_{fingerprint}"
    module = importlib.util.module_from_spec(ModuleSpec(name, None, origin=str(path)))
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses and pickles look their module up there
    try:
        with _working_directory_first():
            exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"scorer '{ref}': {path.name} cannot be imported ({_line(error)}); fix it") from error
    found = getattr(module, function, None)
    if not callable(found):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        what = "is no function" if found is not None else "is not in it"
        raise InputError(f"scorer '{ref}': '{function}' {what}; {nearest(function, functions)}")
    return found


@contextmanager
def _working_directory_first() -> Iterator[None]:
    """What the user's file imports is looked for beside it first."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:200]}" if words else type(error).__name__
