"""Files and folders that are either whole or not there: temporary name, fsync, rename."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from fasp_core.errors import InputError

REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again, finished work is kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again, finished work is kept",
    errno.EACCES: "no permission to write there; choose another folder or set FASP_CACHE",
    errno.EPERM: "no permission to write there; choose another folder or set FASP_CACHE",
    errno.EROFS: "the file system is read-only; choose another folder or set FASP_CACHE",
    errno.EEXIST: "a part of the path is a file, not a folder; choose another folder or set FASP_CACHE",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder or set FASP_CACHE",
}

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_FOLDER_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn the errors of a disk (full, read-only, not allowed) into one InputError line."""
    try:
        yield
    except OSError as error:
        if error.errno not in REASONS:
            raise
        raise InputError(f"cannot write {path}: {REASONS[error.errno]}") from error


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
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
            _sync(temporary)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync(path.parent)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty sibling of `folder` to write into; on leaving it is made durable and renamed to `folder`.

    An error inside, or a crash at any moment, leaves nothing at `folder`. The next writer removes what a crashed one
    left beside it. Two writers of the same folder at the same time need a lock of their own.
    Raises InputError if `folder` is there already, or if the disk does not allow it.
    """
    if os.path.lexists(folder):
        raise InputError(f"{folder} is there already; remove it or choose another folder")
    partial = folder.with_name(f".{folder.name}.partial")
    with write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir()
        try:
            with _safetensors_as_os_errors():
                yield partial
            for path in (*partial.rglob("*"), partial):
                path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors writes for its owner alone
                _sync(path)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _sync(folder.parent)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Like `new_folder`, for a folder that exists: it stays as it is until the new one replaces it."""
    made, old = (folder.with_name(f".{folder.name}.{what}") for what in ("replacement", "replaced"))
    with write_errors(folder):
        for leftover in (made, old):
            if leftover.exists():
                shutil.rmtree(leftover)
        with new_folder(made) as partial:
            yield partial
        try:
            folder.rename(old)
            try:
                made.rename(folder)
            except BaseException:
                old.rename(folder)
                raise
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        shutil.rmtree(old)


@contextmanager
def _safetensors_as_os_errors() -> Iterator[None]:
    """Safetensors reports errors of the disk as text, "… (os error 28)"; make them OSErrors again."""
    try:
        yield
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from error


def _sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut.

    A folder that the system does not let us flush is skipped: Windows opens none (PermissionError), and some network
    file systems take no fsync of one (NO_FOLDER_FLUSH). A file is opened for writing, because Windows flushes no other.
    """
    is_folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    except PermissionError:
        if is_folder:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (is_folder and error.errno in NO_FOLDER_FLUSH):
            raise
    finally:
        os.close(descriptor)
