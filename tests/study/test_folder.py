"""The study folder: whole or not there, checked, locked, and safe against damage."""

from __future__ import annotations

import errno
import json

import numpy as np
import pyarrow as pa
import pytest
from helpers.made_study import make_study

from fasp_core.data.prompts import load_prompts
from fasp_core.errors import InputError
from fasp_core.files import writing as files
from fasp_core.study.shard_tables import ratio_table
from fasp_core.study.study import Study, list_studies, open_study


def table(n=3):
    return pa.table({"unit": list(range(n))})


def test_what_is_written_is_read(study, tmp_path):
    with study.writing():
        study.write_shard("samples.x.00000.parquet", table())
    again = open_study("s", tmp_path)
    assert again.read_shard("samples.x.00000.parquet").equals(table())
    assert again.shard_names("samples", "x") == ["samples.x.00000.parquet"]
    assert again.prompts.fingerprint == load_prompts().fingerprint
    assert list_studies(tmp_path) == ["s"]


def test_an_axis_without_scores_is_none_of_the_study(tmp_path):
    study = make_study(tmp_path, axes=("gender_and_sex",))
    with study.writing():
        study.update(axes=["gender_and_sex", "religion"])  # as a run that is stopped before its first shard
    assert open_study("default", tmp_path).axes == ["gender_and_sex"]


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_a_damaged_shard_is_named_with_its_mend(study, tmp_path, damage):
    with study.writing():
        study.write_shard("samples.x.00000.parquet", table())
    path = study.folder / "samples.x.00000.parquet"
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    with pytest.raises(InputError, match=r"samples\.x\.00000\.parquet is (damaged|missing).*score again") as error:
        open_study("s", tmp_path).read_shard("samples.x.00000.parquet")
    assert "\n" not in str(error.value)


def test_an_interrupted_run_is_taken_in(study, tmp_path):
    """A whole file that was not listed yet counts, a half-written one does not, a deleted one is forgotten."""
    with study.writing():
        study.write_shard("samples.x.00000.parquet", table())
        study.write_shard("samples.x.00001.parquet", table())
    data = json.loads((study.folder / "manifest.json").read_text())
    del data["shards"]["samples.x.00001.parquet"]
    del data["checksum"]
    (study.folder / "manifest.json").write_text(json.dumps(data))
    (study.folder / "samples.x.00000.parquet").unlink()
    (study.folder / ".abc.partial").write_bytes(b"half")
    again = open_study("s", tmp_path)
    with again.writing():
        assert again.shard_names("samples", "x") == ["samples.x.00001.parquet"]
    assert not (study.folder / ".abc.partial").exists()


def test_one_writer_at_a_time(study, tmp_path):
    with study.writing(), pytest.raises(InputError, match="another process"), open_study("s", tmp_path).writing():
        pass


def test_a_full_disk_is_one_line_and_leaves_nothing(study, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with study.writing(), pytest.raises(InputError, match="disk is full"):
        study.write_shard("samples.x.00000.parquet", table())
    assert not list(study.folder.glob("samples*"))
    assert not list(study.folder.glob("*.partial"))
    assert not list(study.folder.glob(".*.partial"))


def test_scores_read_every_file_once(tmp_path, monkeypatch):
    made, read = make_study(tmp_path, "made"), []
    table = ratio_table([0], [127], np.zeros(1), np.zeros((1, 24)), range(24))
    made.write_shard("knockout.text.00000.aa.parquet", table)
    read_file = Study._read_file
    monkeypatch.setattr(Study, "_read_file", lambda self, name: read.append(name) or read_file(self, name))
    made.scores()
    assert "knockout.text.00000.aa.parquet" in read
    assert len(read) == len(set(read))
    made.read_shard(read[0])
    assert read[-1] == read[0]  # nothing is remembered afterwards, so that damage is seen
