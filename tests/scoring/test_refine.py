"""Refinement: steps that settle the cuts, never the same measurement twice, ended by time or reliability."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import pytest
from helpers.log_odds import PAIRS

from fasp_core.data.prompt_set import PromptSet
from fasp_core.data.prompts import load_prompts
from fasp_core.errors import InputError, RunError
from fasp_core.scoring import refine
from fasp_core.scoring.planner import Step
from fasp_core.scoring.refine import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings
from fasp_core.study.views import odds_values

AXIS = "gender_and_sex"
SETTINGS = StudySettings(
    max_new_tokens=3, window_tokens=24, samples_per_shard=12, windows_per_shard=4, knockout_samples_per_shard=4
)
WHOLE = replace(SETTINGS, scored="text")  # the prompts' own words are a clear bias; what the model writes has none
START = {"samples": 24, "windows": 8, "knockout_windows": 2}


@pytest.fixture
def ticking(monkeypatch):
    """A clock that moves on one second whenever refine looks at it."""
    clock = count()
    monkeypatch.setattr(refine.time, "monotonic", lambda: float(next(clock)))


def score(lm, root, settings=SETTINGS, **more):
    return score_heads(lm, axes=[AXIS], budget=Budget(**START, **more), settings=settings, name="s", root=root)


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
    assert again.scores().intact[AXIS].n_samples >= study.scores().intact[AXIS].n_samples


def test_a_reliability_that_is_reached_ends_it(tiny_llama, tmp_path):
    budget = Budget(**(START | {"samples": 72}), reliability=-1.0)
    study = score_heads(tiny_llama, axes=[AXIS], budget=budget, settings=WHOLE, name="s", root=tmp_path)
    assert len(study.shard_names("samples", AXIS)) == 72 / WHOLE.samples_per_shard


def test_a_reliability_that_is_not_reached_takes_more_samples(tiny_llama, tmp_path, ticking):
    study = score(tiny_llama, tmp_path, settings=WHOLE, reliability=0.999999, refine_minutes=0.5)
    assert len(study.manifest.shards) > 12


@pytest.mark.parametrize(
    ("more", "message"),
    [({"minutes": 0}, "minutes is 0"), ({"minutes": -1.0}, "above 0"), ({"reliability": 1.0}, "between 0 and 1")],
)
def test_bad_limits_are_one_line(tiny_llama, tmp_path, more, message):
    with pytest.raises(InputError, match=message):
        score_heads(tiny_llama, axes=[AXIS], root=tmp_path, **more)
    assert not list(tmp_path.iterdir())


def test_minutes_by_likelihood_are_spent_on_reading_until_all_was_read(tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setattr("fasp_core.scoring.score_heads.FIRST_PASS", Budget(0, 2, 0, likelihood_reads=6))
    few = load_prompts().frame.query("axis == @AXIS and split == 'valid'").groupby("group").head(2)
    study = score_heads(
        tiny_llama,
        axes=[AXIS],
        metrics=["likelihood"],
        minutes=60,
        prompts=PromptSet("few", few.reset_index(drop=True)),
        pairs=PAIRS,
        settings=replace(SETTINGS, odds_per_shard=6),
        name="s",
        root=tmp_path,
    )
    assert len(odds_values(study, AXIS)) == 12  # every prompt once: the pairs have one block of stems


@dataclass
class Constant:
    """Finds every text as toxic as any other."""

    name: str = "constant"
    ref: str = "constant"
    fingerprint: str = "1"

    def score(self, texts):
        return np.full(len(texts), 0.25)


def test_a_reliability_is_not_waited_for_where_there_is_nothing_to_rank(tiny_llama, tmp_path):
    with pytest.raises(RunError, match=f"not reachable on {AXIS}: there is no bias that matters to rank"):
        score_heads(
            tiny_llama,
            axes=[AXIS],
            budget=Budget(**START, reliability=0.5),
            settings=SETTINGS,
            scorer=Constant(),
            name="s",
            root=tmp_path,
        )


@pytest.mark.parametrize("known", [[0.95, float("nan")], [float("nan"), 0.95]])
def test_a_reliability_that_is_not_known_is_not_reached(known, monkeypatch):
    class GoesOn(Exception):
        pass

    def goes_on(*_):
        raise GoesOn

    monkeypatch.setattr(refine, "_steps", lambda *_: ([Step("one", (), 1.0)], known))
    monkeypatch.setattr(refine, "_require_something_to_rank", lambda *_: None)
    monkeypatch.setattr(refine, "_take", goes_on)
    with pytest.raises(GoesOn):
        refine.refine(None, ["one", "two"], Budget(**START, reliability=0.9))
