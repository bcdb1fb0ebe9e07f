"""A folder appears whole or not at all: after errors, a kill, a full disk."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from fasp_core.errors import InputError
from fasp_core.files.writing import new_folder, replaced_folder, write_atomic

PROJECT = str(Path(__file__).resolve().parents[2])


def test_it_holds_what_was_written_and_nothing_lies_beside_it(tmp_path):
    with new_folder(tmp_path / "deep" / "a") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "x").write_text("1")
        assert not (tmp_path / "deep" / "a").exists()
    assert (tmp_path / "deep" / "a" / "sub" / "x").read_text() == "1"
    assert os.listdir(tmp_path / "deep") == ["a"]


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt(), SafetensorError("header too large")])
def test_an_error_inside_leaves_nothing(tmp_path, error):
    def write():
        with new_folder(tmp_path / "a") as folder:
            (folder / "x").write_text("1")
            raise error

    with pytest.raises(type(error)):
        write()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, error):
    with pytest.raises(InputError, match="the disk is full"), new_folder(tmp_path / "a"):
        raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("refused", [1, 2, 3])
def test_a_folder_that_cannot_be_replaced_stays_and_is_alone(tmp_path, monkeypatch, refused):
    """The renames: the new one gets its name beside the old one, the old one gives way, the new one takes its place."""
    with new_folder(tmp_path / "a") as folder:
        (folder / "x").write_text("old")
    rename, count = Path.rename, itertools.count(1)

    def full(self, target):
        if next(count) == refused:
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(InputError, match="the disk is full"), replaced_folder(tmp_path / "a") as folder:
        (folder / "x").write_text("new")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a" / "x").read_text() == "old"


def test_a_kill_leaves_nothing_and_the_next_writer_clears_up(tmp_path):
    script = """
import os, pathlib, signal, sys
from fasp_core.files.writing import new_folder
with new_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / "old").write_text("1")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script, tmp_path / "a"], cwd=PROJECT, timeout=60)
    assert killed.returncode < 0
    assert not (tmp_path / "a").exists()
    with new_folder(tmp_path / "a") as folder:
        (folder / "new").write_text("2")
    assert os.listdir(tmp_path) == ["a"]
    assert os.listdir(tmp_path / "a") == ["new"]


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="is there already"), new_folder(tmp_path / "a"):
        pass
    assert os.listdir(tmp_path) == ["a"]


def test_a_parent_that_cannot_be_a_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file, not a folder"), new_folder(tmp_path / "file" / "sub" / "a"):
        pass


REAL_OPEN, REAL_FSYNC = os.open, os.fsync


def no_open_of_a_folder(path, flags, *more, **named):
    """What Windows does; `shutil.rmtree`, which names a `dir_fd` here, opens no folder there."""
    if os.path.isdir(path) and "dir_fd" not in named:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return REAL_OPEN(path, flags, *more, **named)


def no_fsync_of_a_folder(descriptor):
    """What some network file systems do."""
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "Invalid argument")
    REAL_FSYNC(descriptor)


@pytest.mark.parametrize(("name", "refuse"), [("open", no_open_of_a_folder), ("fsync", no_fsync_of_a_folder)])
def test_a_system_that_flushes_no_folder_is_no_obstacle(tmp_path, monkeypatch, name, refuse):
    monkeypatch.setattr(os, name, refuse)
    write_atomic(tmp_path / "file", lambda path: path.write_text("1"))
    assert (tmp_path / "file").read_text() == "1"
    for text, writer in (("1", new_folder), ("2", replaced_folder)):
        with writer(tmp_path / "a") as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "x").write_text(text)
        assert (tmp_path / "a" / "sub" / "x").read_text() == text
    assert sorted(os.listdir(tmp_path)) == ["a", "file"]


def test_files_are_flushed_through_a_handle_for_writing_and_folders_where_they_can_be(tmp_path, monkeypatch):
    flushed = []

    def note(descriptor):
        mode = os.fstat(descriptor).st_mode
        flushed.append("folder" if stat.S_ISDIR(mode) else "file")
        if not stat.S_ISDIR(mode):
            os.write(descriptor, b"")  # fails for a handle that only reads
        REAL_FSYNC(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write_atomic(tmp_path / "file", lambda path: path.write_text("1"))
    assert flushed == ["file", "folder"]


def test_a_file_that_cannot_be_flushed_is_an_error(tmp_path, monkeypatch):
    def no_open(path, flags, *more):
        if flags & os.O_RDWR and not flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return REAL_OPEN(path, flags, *more)

    monkeypatch.setattr(os, "open", no_open)
    with pytest.raises(InputError, match="no permission to write there"):
        write_atomic(tmp_path / "file", lambda path: path.write_text("1"))
    assert os.listdir(tmp_path) == []
