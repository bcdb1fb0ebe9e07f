"""What was measured is found again by study, with its texts."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from helpers.made_once import made_once

from fasp_core.data.prompts import load_prompts
from fasp_core.errors import InputError
from fasp_core.evaluation.evaluate import evaluate_study
from fasp_core.evaluation.history import measured_set, measured_sets, paired_texts
from fasp_core.evaluation.keys import EvaluationSettings, Target
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings

AXES = ("gender_and_sex", "religion")
SMALL = EvaluationSettings(max_new_tokens=3, blocks=2, texts_per_block=6, windows_per_block=1, window_tokens=24)


@pytest.fixture
def study(tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setattr("fasp_core.evaluation.evaluate.study_settings", lambda study: SMALL)

    def score(folder):
        score_heads(
            tiny_llama,
            axes=AXES,
            budget=Budget(samples=12, windows=2, knockout_windows=0),
            name="s",
            root=folder,
            settings=StudySettings(max_new_tokens=3, window_tokens=24, samples_per_shard=12, windows_per_shard=4),
        )

    return made_once(tmp_path, "s", score, __name__)


def measure(study, lm, pruned, axes=None, steps=None, **more):
    store = EvaluationStore(study.folder.parent)
    return list(itertools.islice(evaluate_study(study, lm, pruned, axes, store=store, **more), steps))[-1]


def test_every_measured_set_is_found_where_most_is_known_of_it(study, tiny_llama):
    measure(study, tiny_llama, [(0, 0)], AXES[:1])
    whole = measure(study, tiny_llama, [(0, 0)])
    partial = measure(study, tiny_llama, [(1, 1), (0, 2)], steps=2)
    measure(study, tiny_llama, [(0, 0)], split="test")
    measure(study, tiny_llama, [])  # the intact model is no pruned set
    found = {(s.target.split, s.target.heads): s for s in measured_sets(study)}
    assert set(found) == {("valid", ((0, 0),)), ("valid", ((0, 2), (1, 1))), ("test", ((0, 0),))}
    assert found["valid", ((0, 0),)].target == Target("s", ((0, 0),), AXES, "valid")
    assert found["valid", ((0, 0),)].evaluation.to_json() == whole.to_json()
    assert found["valid", ((0, 2), (1, 1))].evaluation.fraction_done == partial.fraction_done < 1
    assert {s.target.split for s in measured_sets(study, split="test")} == {"test"}


def test_a_study_that_grows_keeps_what_was_measured(study, tiny_llama):
    measure(study, tiny_llama, [(0, 0)])
    grown = score_heads(
        tiny_llama,
        axes=["nationality"],
        budget=Budget(samples=12, windows=2, knockout_windows=0),
        name="s",
        root=study.folder.parent,
        prompts=load_prompts(),
    )
    assert set(grown.axes) == {*AXES, "nationality"}
    assert [s.target.heads for s in measured_sets(grown)] == [((0, 0),)]
    assert measured_set(grown, Target("s", ((0, 0),), AXES)) is not None


def test_one_set_is_answered_without_a_model(study, tiny_llama, monkeypatch):
    whole = measure(study, tiny_llama, [(0, 0)])
    monkeypatch.setattr("fasp_core.evaluation.evaluate.evaluate", None)
    target = Target("s", ((0, 0),), AXES)
    assert measured_set(study, replace(target, streams=AXES[1:])).evaluation.to_json() == whole.to_json()
    assert measured_set(study, replace(target, streams=("nationality",))) is None
    assert measured_set(study, replace(target, split="test")) is None
    assert measured_set(study, replace(target, heads=((0, 1),))) is None


def test_texts_before_and_after_are_pairs(study, tiny_llama):
    evaluation = measure(study, tiny_llama, [(0, 0), (2, 3)])
    (found,) = measured_sets(study)
    texts = paired_texts(found.plan, found.target.heads, study.folder.parent)
    assert len(texts) == evaluation.n_texts
    for axis in AXES:
        rows = texts[texts["axis"] == axis]
        for when, part in (("before", evaluation.before), ("after", evaluation.after)):
            means = rows.groupby("group")[f"toxicity_{when}"].mean()
            assert means.to_dict() == pytest.approx({g: e.value for g, e in part.axes[axis].groups.items()})
    prompts = study.prompts.frame.set_index("prompt_id")["prompt"]
    assert (texts["prompt"] == texts["prompt_id"].map(prompts)).all()
    assert (texts["continuation_before"] != texts["continuation_after"]).any()
    with pytest.raises(InputError, match="measure the set again"):
        paired_texts("gone", found.target.heads, study.folder.parent)


def test_a_summary_of_another_version_is_summed_up_anew(study, tiny_llama):
    whole = measure(study, tiny_llama, [(0, 0)])
    store = EvaluationStore(study.folder.parent)
    store.database.write("update evaluations set evaluation='{\"old\": 1}'")
    assert measured_sets(study) == []
    assert measure(study, tiny_llama, [(0, 0)]).to_json() == whole.to_json()
    assert len(measured_sets(study)) == 1
