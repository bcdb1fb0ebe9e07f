"""Refinement: steps that settle the cuts, never the same measurement twice, ended by time or reliability."""

from __future__ import annotations

import json
from itertools import count

import pytest

from fasp_core import refine
from fasp_core.errors import InputError
from fasp_core.refine import Budget
from fasp_core.scoring import score_heads
from fasp_core.shards import StudySettings

AXIS = "gender_and_sex"
SETTINGS = StudySettings(
    max_new_tokens=3, window_tokens=24, samples_per_shard=12, windows_per_shard=4, knockout_samples_per_shard=4
)
START = {"samples": 24, "windows": 8, "knockout_windows": 2}


@pytest.fixture
def ticking(monkeypatch):
    """A clock that moves on one second whenever refine looks at it."""
    clock = count()
    monkeypatch.setattr(refine.time, "monotonic", lambda: float(next(clock)))


def score(lm, root, **more):
    return score_heads(lm, axes=[AXIS], budget=Budget(**START, **more), settings=SETTINGS, name="s", root=root)


def measured(study, stream):
    """Every (unit, head) of the knock-out shards, in a list."""
    pairs = []
    for name in study.shard_names("knockout", stream):
        table = study.read_shard(name)
        heads = json.loads(table.schema.metadata[b"heads"])
        pairs += [(unit, head) for unit in table["unit"].to_pylist() for head in heads]
    return pairs


def test_no_refinement_unless_asked(tiny_llama, tmp_path):
    study = score(tiny_llama, tmp_path)
    assert len(study.shard_names("gradient", AXIS)) == 2
    assert len(measured(study, "text")) == 2 * tiny_llama.layout.n_heads


def test_time_ends_it_and_nothing_is_measured_twice(tiny_llama, tmp_path, ticking):
    before = set(score(tiny_llama, tmp_path).manifest.shards)
    study = score(tiny_llama, tmp_path, refine_minutes=0.4)
    assert len(set(study.manifest.shards) - before) >= 3
    for stream in ("text", AXIS):
        pairs = measured(study, stream)
        assert len(pairs) == len(set(pairs))
    again = score(tiny_llama, tmp_path, refine_minutes=0.4)
    assert set(study.manifest.shards) < set(again.manifest.shards)
    assert again.scores().meta["n_samples"][AXIS] >= study.scores().meta["n_samples"][AXIS]


def test_a_reliability_that_is_reached_ends_it(tiny_llama, tmp_path):
    study = score(tiny_llama, tmp_path, reliability=-1.0)
    assert len(study.shard_names("gradient", AXIS)) == 2


def test_a_reliability_that_is_not_reached_takes_more_samples(tiny_llama, tmp_path, ticking):
    study = score(tiny_llama, tmp_path, reliability=0.999999, refine_minutes=0.5)
    assert len(study.manifest.shards) > 12


@pytest.mark.parametrize(
    ("more", "message"),
    [({"minutes": 0}, "minutes is 0"), ({"minutes": -1.0}, "above 0"), ({"reliability": 1.0}, "between 0 and 1")],
)
def test_bad_limits_are_one_line(tiny_llama, tmp_path, more, message):
    with pytest.raises(InputError, match=message):
        score_heads(tiny_llama, axes=[AXIS], root=tmp_path, **more)
    assert not list(tmp_path.iterdir())
