"""Studies that several tests begin with: each is made once a session, and every test gets a copy of its own."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

from fasp_core.study.study import Study, open_study

_MADE = TemporaryDirectory()


def made_once(root: Path, name: str, make: Callable[[Path], object], *kind: object) -> Study:
    """The study `name` in `root`, copied from the one that `make` has put into the folder it was given.

    `kind` is all that the study depends on besides its name, of reprs that tell.
    """
    made = Path(_MADE.name) / sha256(repr((name, kind)).encode()).hexdigest()
    if not made.is_dir():
        with TemporaryDirectory(dir=_MADE.name) as folder:
            make(Path(folder))
            (Path(folder) / name).rename(made)
    copytree(made, Path(root) / name)
    return open_study(name, root)
