"""Folders that are either whole or not there, as `files` has it for single files."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from .errors import InputError
from .files import write_errors


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty sibling of `folder` to write into; on leaving it is made durable and renamed to `folder`.

    An error inside, or a crash at any moment, leaves nothing at `folder`; the next writer clears away what a
    crashed one left beside it. Two writers of one folder at a time need a lock of their own.
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
    """Like `new_folder`, for one that is there already: it stays as it is until the new one takes its place."""
    made, old = (folder.with_name(f".{folder.name}.{what}") for what in ("replacement", "replaced"))
    with write_errors(folder):
        for leftover in (made, old):
            if leftover.exists():
                shutil.rmtree(leftover)
        with new_folder(made) as partial:
            yield partial
        folder.rename(old)
        try:
            made.rename(folder)
        except BaseException:
            old.rename(folder)
            shutil.rmtree(made, ignore_errors=True)
            raise
        shutil.rmtree(old)


@contextmanager
def _safetensors_as_os_errors() -> Iterator[None]:
    """What the disk says reaches safetensors' callers as text, "… (os error 28)"; make it an OSError again."""
    try:
        yield
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
