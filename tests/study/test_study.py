"""Studies by name: made, opened, listed and deleted, and only inside the folder of studies."""

from __future__ import annotations

import pytest

from fasp_core.errors import InputError
from fasp_core.study.study import delete_study, list_studies, open_study, study_folder


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "models", "x" * 200])
def test_names_stay_inside_the_cache_folder(tmp_path, name):
    with pytest.raises(InputError, match="cannot name a study"):
        study_folder(name, tmp_path)


def test_an_unknown_study_names_the_nearest(study, tmp_path):
    with pytest.raises(InputError, match=r"no study 'z'.*python -m fasp_core score z"):
        open_study("z", tmp_path)


def test_a_deleted_study_is_gone_and_a_damaged_one_can_be_deleted(study, tmp_path):
    (study.folder / "manifest.json").write_text("{")
    assert list_studies(tmp_path) == ["s"]
    delete_study("s", tmp_path)
    assert list_studies(tmp_path) == []
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="no study 's' to delete"):
        delete_study("s", tmp_path)


def test_a_study_that_is_written_is_not_deleted(study, tmp_path):
    with study.writing(), pytest.raises(InputError, match="being measured; stop that first"):
        delete_study("s", tmp_path)
    assert list_studies(tmp_path) == ["s"]


def test_a_link_is_not_followed(study, tmp_path):
    (tmp_path / "link").symlink_to(study.folder, target_is_directory=True)
    with pytest.raises(InputError, match="no study 'link' to delete"):
        delete_study("link", tmp_path)
    assert study.folder.is_dir()
