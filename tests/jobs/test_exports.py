"""Checkpoints as jobs: where they go, which command makes them, and zips that hold the folder and nothing else."""

from __future__ import annotations

import io
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.made_study import make_study

from fasp_core.export.pruning_config import PruningConfig
from fasp_core.jobs import exports
from fasp_core.jobs.exports import (
    export_folder,
    folder_bytes,
    newest_job,
    start_export,
    start_verification,
    verification_of,
    zipped,
)
from fasp_core.jobs.jobs import Job
from fasp_core.selection.select_heads import select_heads

AXIS = "gender_and_sex"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FASP_CACHE", str(tmp_path))
    return tmp_path


def config(root, alpha=0.1, **size):
    study = make_study(root / str(alpha), **size)
    return PruningConfig.from_selection(select_heads(study.scores(), axis=AXIS, alpha=alpha), study)


def test_a_folder_is_named_for_study_heads_and_form(root):
    made = config(root)
    heads = "-".join(f"{layer}.{head}" for layer, head in made.pruned)
    assert export_folder("s", made, "masked") == root / "exports" / f"s.{heads}.masked"
    assert export_folder("s", config(root, 0.0), "compact").name == "s.intact.compact"


def test_a_name_stays_short_and_inside_its_folder(root):
    made = config(root, 0.5, n_layers=20)
    name = export_folder("../../a b/é", made, "masked").name
    assert export_folder("../../a b/é", made, "masked").parent == root / "exports"
    assert name.startswith("..-..-a-b--.40-heads-")
    assert len(name) < 60
    assert name != export_folder("../../a b/é", config(root, 0.55, n_layers=20), "masked").name


def test_the_configuration_lies_beside_the_folder_that_the_job_writes(root, monkeypatch):
    started = []
    monkeypatch.setattr(exports, "start_job", lambda command, **about: started.append((command, about)))
    made = config(root)
    folder = export_folder("s", made, "compact")
    start_export(made, folder, "compact")
    start_verification(folder)
    source = folder.with_name(f"{folder.name}.json")
    assert PruningConfig.load(source) == made
    (export, about), (verify, of) = started
    assert export == ["export", "--format=compact", f"--to={folder}", "--force", "--", str(source)]
    assert verify == ["verify", "--", str(folder)]
    assert about["key"] == f"export {folder.name}"
    assert of["key"].startswith(f"verify {folder.name} ")


def test_the_newest_job_of_a_folder_is_found_by_its_kind(root, monkeypatch):
    folder = root / "exports" / "s.0.1.masked"

    def job(number, key):
        return Job(str(number), key, "t", (), float(number), "done", (), "", root)

    jobs = [job(2, "export s.0.1.masked"), job(1, "export s.0.1.masked")]
    monkeypatch.setattr("fasp_core.jobs.jobs.list_jobs", lambda root: jobs)
    assert newest_job("export", folder) is jobs[0]
    assert newest_job("export", root / "exports" / "other") is None


def test_a_verification_is_of_what_the_folder_holds_whatever_the_clock(root, monkeypatch):
    folder = root / "exports" / "s.0.1.masked"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"12345")
    made = []
    monkeypatch.setattr("fasp_core.jobs.jobs.list_jobs", lambda root: made[::-1])
    monkeypatch.setattr(
        exports,
        "start_job",
        lambda command, *, key, title: made.append(Job(key, key, title, (), 0.0, "done", (), "", root)),
    )
    assert verification_of(folder) is None
    start_verification(folder)
    assert verification_of(folder) is made[0]
    later = 2 * 10**9  # a date ahead of the clock, as that of an export from a machine whose clock is ahead
    os.utime(folder / "model.safetensors", (later, later))
    assert verification_of(folder) is None
    start_verification(folder)
    assert verification_of(folder) is made[1]
    (folder / "README.md").write_text("new")
    assert verification_of(folder) is None


def test_downloads_at_once_are_each_whole(root):
    folder = root / "made"
    folder.mkdir()
    (folder / "a.bin").write_bytes(bytes(range(256)) * 4000)
    with ThreadPoolExecutor(4) as pool:
        contents = list(pool.map(lambda _: zipped(folder)(), range(4)))
    for content in contents:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.read("made/a.bin") == (folder / "a.bin").read_bytes()


def test_a_zip_holds_the_folders_files_and_no_links(root):
    folder = root / "made"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"12345")
    (folder / "deep" / "b.bin").write_bytes(bytes(3))
    (root / "secret").write_text("outside")
    (folder / "link").symlink_to(root / "secret")
    before = sorted(path.name for path in root.iterdir())
    with zipfile.ZipFile(io.BytesIO(zipped(folder)())) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["made/a.txt", "made/deep/b.bin"]
        assert archive.read("made/a.txt") == b"12345"
    assert sorted(path.name for path in root.iterdir()) == before


def test_the_size_of_a_folder(root):
    folder = root / "made"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"12345")
    (folder / "deep" / "b.bin").write_bytes(bytes(3))
    assert folder_bytes(folder) == 8
