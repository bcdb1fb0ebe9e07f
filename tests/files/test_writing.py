"""A folder appears whole or not at all: after errors, a kill, a full disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest
from safetensors import SafetensorError

from fasp_core.errors import InputError
from fasp_core.folders import new_folder

PROJECT = os.path.dirname(os.path.dirname(__file__))


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


def test_a_kill_leaves_nothing_and_the_next_writer_clears_up(tmp_path):
    script = """
import os, pathlib, signal, sys
from fasp_core.folders import new_folder
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
