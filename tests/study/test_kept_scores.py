"""Scores that are kept: the same as computed ones, computed anew whenever anything they follow from has changed."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from helpers.made_study import make_study
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.errors import InputError
from fasp_core.study import kept_scores as kept
from fasp_core.study.scores import choosing_scores
from fasp_core.study.study import open_study

AXIS = "gender_and_sex"
ASKED = {"metric": "toxicity", "compensate": "none"}


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path, n_layers=2, heads_per_layer=3, samples=64, windows=8)


@pytest.fixture
def computed(monkeypatch):
    """What was computed, not read."""
    calls = []

    def counted(*given, **asked):
        calls.append(asked)
        return choosing_scores(*given, **asked)

    monkeypatch.setattr(kept, "choosing_scores", counted)
    return calls


def assert_same(one, other):
    """Equal in every part, but for the number of prompts behind the prompts' own bias."""
    assert one.frame.equals(other.frame)
    assert (one.n_layers, one.heads_per_layer, one.meta) == (other.n_layers, other.heads_per_layer, other.meta)
    assert (one.intact_ppl, one.orders) == (other.intact_ppl, other.orders)
    for axis, known in one.intact.items():
        echo = known.prompt_echo and replace(known.prompt_echo, n=0)
        same = other.intact[axis].prompt_echo and replace(other.intact[axis].prompt_echo, n=0)
        assert replace(known, prompt_echo=echo) == replace(other.intact[axis], prompt_echo=same)
    assert list(one.intact) == list(other.intact)
    assert list(one.group_effects) == list(other.group_effects)
    for axis, known in one.group_effects.items():
        for part in fields(known):
            np.testing.assert_array_equal(getattr(known, part.name), getattr(other.group_effects[axis], part.name))


@pytest.mark.parametrize(
    ("metric", "compensate"), [("toxicity", "none"), ("likelihood", "none"), ("likelihood", "least_squares")]
)
def test_kept_scores_of_the_shipped_study_are_those_that_were_computed(metric, compensate, tmp_path):
    study = open_study("default")
    scores = choosing_scores(study, None, metric=metric, compensate=compensate)
    kept._keep(scores, tmp_path / "kept", b"made of this")
    assert_same(scores, kept._read(tmp_path / "kept", b"made of this", study))


def test_the_second_time_nothing_is_computed(study, computed):
    first = kept.kept_scores(study, AXIS, **ASKED)
    second = kept.kept_scores(study, None, **ASKED)
    assert len(computed) == 1
    assert_same(first, second)


def test_computed_anew_once_the_study_holds_more(study, computed):
    kept.kept_scores(study, None, **ASKED)
    study.write_shard("pairs.parquet", study.read_shard("windows.parquet"))
    kept.kept_scores(study, None, **ASKED)
    assert len(computed) == 2


def test_a_study_opened_before_more_was_measured_keeps_nothing_for_later(study, computed):
    """What it computes follows from what it knew, though the new files are there already."""
    opened_before = open_study(study.name, study.folder.parent)
    with study.writing():
        study.update(notes=["measured since"])
    assert not kept.kept_scores(opened_before, None, **ASKED).meta.notes
    assert kept.kept_scores(study, None, **ASKED).meta.notes == ["measured since"]
    assert len(computed) == 2


def test_a_file_that_was_damaged_later_is_seen(study):
    kept.kept_scores(study, None, **ASKED)
    path = study.folder / study.shard_names("gradient", AXIS)[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        kept.kept_scores(study, None, **ASKED)


def test_computed_anew_by_another_version_of_the_program(study, computed, monkeypatch):
    kept.kept_scores(study, None, **ASKED)
    monkeypatch.setattr(kept, "_program", lambda: b"another")
    kept.kept_scores(study, None, **ASKED)
    assert len(computed) == 2


def test_what_is_kept_of_a_study_that_was_made_elsewhere_is_not_taken(study, computed, tmp_path):
    """The time and size of its files are other ones."""
    kept.kept_scores(study, None, **ASKED)
    other = make_study(tmp_path / "other", n_layers=2, heads_per_layer=3, samples=32, windows=8)
    (study.folder / kept.KEPT).rename(other.folder / kept.KEPT)
    assert kept.kept_scores(other, None, **ASKED).intact[AXIS].n_samples == 32
    assert len(computed) == 2


@pytest.fixture(scope="module")
def file_and_scores(tmp_path_factory):
    study = make_study(tmp_path_factory.mktemp("kept"), n_layers=2, heads_per_layer=3, samples=64, windows=8)
    kept._keep(choosing_scores(study, None, **ASKED), study.folder / "kept", b"made of this")
    return study, (study.folder / "kept").read_bytes()


@given(at=st.integers(0), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_file_is_no_scores_at_all(file_and_scores, at, bit, cut):
    study, whole = file_and_scores
    data, at = bytearray(whole), at % len(whole)
    data[at] ^= 1 << bit
    (study.folder / "damaged").write_bytes(whole[:at] if cut else data)
    assert kept._read(study.folder / "damaged", b"made of this", study) is None


def test_a_folder_that_cannot_be_written_is_no_error(study, computed):
    (study.folder / kept.KEPT).write_text("a file where the folder would be")
    for _ in range(2):
        assert kept.kept_scores(study, None, **ASKED).axes == [AXIS, "religion"]
    assert len(computed) == 2


def test_what_is_kept_is_no_shard_and_what_a_killed_writer_left_of_it_goes(study):
    kept.kept_scores(study, None, **ASKED)
    left, before = study.folder / kept.KEPT / ".killed.partial", dict(study.manifest.shards)
    left.write_text("half")
    with study.writing():
        assert study.manifest.shards == before
    assert [path.name for path in (study.folder / kept.KEPT).iterdir()] == ["toxicity.none.none"]


def test_errors_are_those_of_computing(study):
    for asked in ({"metric": "likelihood"}, {"metric": "../secret"}):
        with pytest.raises(InputError) as raised:
            kept.kept_scores(study, None, **{**ASKED, **asked})
        with pytest.raises(InputError) as same:
            choosing_scores(study, None, **{**ASKED, **asked})
        assert str(raised.value) == str(same.value)
    assert not (study.folder / kept.KEPT).exists()
