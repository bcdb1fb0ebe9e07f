"""What was measured is found again by study, with its texts; names and pins outlive the database."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.budgets import Budget
from fasp_core.errors import InputError
from fasp_core.evaluation import evaluate_study
from fasp_core.evaluation_plan import EvaluationSettings
from fasp_core.history import (
    measured_set,
    measured_sets,
    name_set,
    paired_texts,
    pareto_front,
    pin_set,
)  # fmt: skip
from fasp_core.prompts import load_prompts
from fasp_core.scoring import score_heads
from fasp_core.shards import StudySettings
from fasp_core.store import EvaluationStore

AXES = ("gender_and_sex", "religion")
SMALL = EvaluationSettings(max_new_tokens=3, blocks=2, texts_per_block=6, windows_per_block=1, window_tokens=24)


@pytest.fixture
def study(tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setattr("fasp_core.evaluation.study_settings", lambda study: SMALL)
    return score_heads(
        tiny_llama, axes=AXES, budget=Budget(samples=12, windows=2, knockout_windows=0), name="s", root=tmp_path,
        settings=StudySettings(max_new_tokens=3, window_tokens=24, samples_per_shard=12, windows_per_shard=4),
    )  # fmt: skip


def measure(study, lm, pruned, axes=None, steps=None, **more):
    store = EvaluationStore(study.folder.parent)
    return list(itertools.islice(evaluate_study(study, lm, pruned, axes, store=store, **more), steps))[-1]


def test_every_measured_set_is_found_where_most_is_known_of_it(study, tiny_llama):
    measure(study, tiny_llama, [(0, 0)], AXES[:1])
    whole = measure(study, tiny_llama, [(0, 0)])
    partial = measure(study, tiny_llama, [(1, 1), (0, 2)], steps=2)
    measure(study, tiny_llama, [(0, 0)], split="test")
    measure(study, tiny_llama, [])  # the intact model is no pruned set
    found = {(s.split, s.pruned): s for s in measured_sets(study)}
    assert set(found) == {("valid", ((0, 0),)), ("valid", ((0, 2), (1, 1))), ("test", ((0, 0),))}
    assert found["valid", ((0, 0),)].axes == AXES
    assert found["valid", ((0, 0),)].evaluation.to_dict() == whole.to_dict()
    assert found["valid", ((0, 2), (1, 1))].evaluation.fraction_done == partial.fraction_done < 1
    assert {s.split for s in measured_sets(study, split="test")} == {"test"}


def test_a_study_that_grows_keeps_what_was_measured(study, tiny_llama):
    measure(study, tiny_llama, [(0, 0)])
    grown = score_heads(
        tiny_llama, axes=["nationality"], budget=Budget(samples=12, windows=2, knockout_windows=0), name="s",
        root=study.folder.parent, prompts=load_prompts(),
    )  # fmt: skip
    assert set(grown.axes) == {*AXES, "nationality"}
    assert [s.pruned for s in measured_sets(grown)] == [((0, 0),)]
    assert measured_set(grown, [(0, 0)], AXES, "valid") is not None


def test_one_set_is_answered_without_a_model(study, tiny_llama, monkeypatch):
    whole = measure(study, tiny_llama, [(0, 0)])
    monkeypatch.setattr("fasp_core.evaluation.evaluate", None)
    assert measured_set(study, [(0, 0)], AXES[1:], "valid").evaluation.to_dict() == whole.to_dict()
    assert measured_set(study, [(0, 0)], ["nationality"], "valid") is None
    assert measured_set(study, [(0, 0)], AXES, "test") is None
    assert measured_set(study, [(0, 1)], AXES, "valid") is None


def test_texts_before_and_after_are_pairs(study, tiny_llama):
    evaluation = measure(study, tiny_llama, [(0, 0), (2, 3)])
    (found,) = measured_sets(study)
    texts = paired_texts(found.plan, found.pruned, study.folder.parent)
    assert len(texts) == evaluation.n_texts
    for axis in AXES:
        rows = texts[texts["axis"] == axis]
        for when, part in (("before", evaluation.before), ("after", evaluation.after)):
            means = rows.groupby("group")[f"toxicity_{when}"].mean()
            assert means.to_dict() == pytest.approx({g: e.value for g, e in part.groups[axis].items()})
    prompts = study.prompts.frame.set_index("prompt_id")["prompt"]
    assert (texts["prompt"] == texts["prompt_id"].map(prompts)).all()
    assert (texts["continuation_before"] != texts["continuation_after"]).any()
    with pytest.raises(InputError, match="measure the set again"):
        paired_texts("gone", found.pruned, study.folder.parent)


def test_names_and_pins_outlive_the_database(study, tiny_llama):
    measure(study, tiny_llama, [(0, 0)])
    name_set(study, [(0, 0)], "  my\nset ")
    pin_set(study, [(0, 0)], True)
    (found,) = measured_sets(study)
    assert (found.name, found.pinned) == ("my set", True)
    for path in study.folder.parent.glob("evaluations.sqlite*"):
        path.unlink()
    assert measured_sets(study) == []
    measure(study, tiny_llama, [(0, 0)])
    assert measured_sets(study)[0].name == "my set"
    pin_set(study, [(0, 0)], False)
    name_set(study, [(0, 0)], "")
    assert (study.folder.parent / ".sets" / "s.json").read_text() == "{}"
    with pytest.raises(InputError, match="at most 60"):
        name_set(study, [(0, 0)], "x" * 61)


def test_a_summary_of_another_version_is_summed_up_anew(study, tiny_llama):
    whole = measure(study, tiny_llama, [(0, 0)])
    store = EvaluationStore(study.folder.parent)
    store._run("update evaluations set evaluation='{\"old\": 1}'")
    assert measured_sets(study) == []
    assert measure(study, tiny_llama, [(0, 0)]).to_dict() == whole.to_dict()
    assert len(measured_sets(study)) == 1


POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6) | st.just(float("nan"))), max_size=12)


@given(POINTS)
def test_the_pareto_front_is_what_nobody_beats(points):
    front = pareto_front([p for p, _ in points], [b for _, b in points])
    for (ppl, bias), on_front in zip(points, front.tolist(), strict=True):
        beaten = any(p <= ppl and b <= bias and (p < ppl or b < bias) for p, b in points)
        assert on_front == (not np.isnan(bias) and not beaten)
