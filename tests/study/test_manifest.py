"""The record of a study: typed settings, flat on disk, and old manifests that still open."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from fasp_core.errors import InputError
from fasp_core.study.manifest import ImportedFrom, Manifest, StudySettings, installed_versions, load_manifest
from fasp_core.study.study import open_study

MADE = {
    "name": "s",
    "created": "2026-01-01T00:00:00+00:00",
    "model": {"n_layers": 2, "heads_per_layer": 3},
    "prompts": {},
    "text": {},
}


def manifest(**changes) -> Manifest:
    return Manifest.model_validate({**MADE, "settings": {}, **changes})


def test_settings_are_flat_on_disk():
    made = manifest(settings=StudySettings(seed=3, top_k=50))
    data = json.loads(made.model_dump_json())
    assert data["settings"] == asdict(StudySettings(seed=3, top_k=50))
    assert (data["settings"]["seed"], data["settings"]["top_k"], data["settings"]["max_new_tokens"]) == (3, 50, 20)
    assert Manifest.model_validate(data) == made


def test_what_an_older_program_did_not_record_has_its_default(tmp_path):
    """The first studies named six settings. The others were what their defaults are now, but for one: the whole of a
    text was rated."""
    old = {"seed": 0, "max_new_tokens": 20, "window_tokens": 128, "samples_per_shard": 128, "windows_per_shard": 16}
    old |= {"knockout_samples_per_shard": 8}
    (tmp_path / "manifest.json").write_text(json.dumps({**MADE, "schema_version": 1, "settings": old}))
    assert load_manifest(tmp_path).settings == StudySettings(scored="text")
    assert manifest(settings={"seed": 7}).settings == StudySettings(seed=7)


def test_imported_scores_have_a_file_in_their_place():
    origin = {"file": "x.csv", "sha256": "ab"}
    assert manifest(kind="imported", settings=origin).settings == ImportedFrom("x.csv", "ab")
    assert json.loads(manifest(kind="imported", settings=origin).model_dump_json())["settings"] == origin


@pytest.mark.parametrize(
    "settings",
    [{"sede": 1}, {"file": "x", "sha256": "ab"}, {"seed": "x"}, {"max_new_tokens": 0}, {"file": "x.csv"}, None, 5],
)
def test_settings_that_no_program_wrote_are_damage(settings, tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({**MADE, "schema_version": 1, "settings": settings}))
    with pytest.raises(InputError, match=r"manifest\.json cannot be read"):
        load_manifest(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["max_new_tokens", "top_k", "window_tokens", "window_stride", "samples_per_shard", "knockout_samples_per_shard"],
)
def test_a_size_below_one_is_refused(name):
    with pytest.raises(InputError, match=f"{name} is 0; give a whole number of at least 1"):
        StudySettings(**{name: 0})


def test_versions_are_those_that_run_here():
    import numpy
    import torch

    versions = installed_versions()
    assert (versions["numpy"], versions["torch"]) == (numpy.__version__, torch.__version__)
    assert {"python", "transformers", "tokenizers", "scipy", "pandas", "pyarrow"} <= set(versions)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1}', "\xff"])
def test_a_damaged_manifest_is_one_line(study, tmp_path, text):
    (study.folder / "manifest.json").write_text(text, "latin-1")
    with pytest.raises(InputError, match="study 's'") as error:
        open_study("s", tmp_path)
    assert "\n" not in str(error.value)


def test_a_manifest_of_another_version_is_refused(study, tmp_path):
    path = study.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(InputError, match="schema version 99"):
        open_study("s", tmp_path)


def test_shards_cannot_point_outside_the_folder(study, tmp_path):
    path = study.folder / "manifest.json"
    data = json.loads(path.read_text())
    data["shards"]["../../secret.parquet"] = {"sha256": "", "rows": 0, "bytes": 0}
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="damaged"):
        open_study("s", tmp_path)
