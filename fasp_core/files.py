"""Files that are either whole or not there: temporary name, fsync, rename; and where studies live."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError

REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again, finished work is kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again, finished work is kept",
    errno.EACCES: "no permission to write there; choose another folder or set FASP_CACHE",
    errno.EPERM: "no permission to write there; choose another folder or set FASP_CACHE",
    errno.EROFS: "the file system is read-only; choose another folder or set FASP_CACHE",
    errno.EEXIST: "a part of the path is a file, not a folder; choose another folder or set FASP_CACHE",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder or set FASP_CACHE",
}


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turns what a disk can do to a writer (full, read-only, not allowed) into one InputError line."""
    try:
        yield
    except OSError as error:
        if error.errno not in REASONS:
            raise
        raise InputError(f"cannot write {path}: {REASONS[error.errno]}") from error


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write(temporary)` fill a file beside `path`, then make it durable and rename it to `path`.

    Raises InputError where the disk does not allow it; nothing is left at `path` or beside it then.
    """
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
