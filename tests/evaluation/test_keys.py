"""Keys name all that a number depends on, and nothing else; targets are equal where they mean the same."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from helpers.made_study import make_study

from fasp_core.data.prompts import load_prompts
from fasp_core.evaluation.keys import (
    EvaluationSettings,
    Identity,
    Target,
    make_plan,
    parse_pruned_name,
    pruned_name,
    stream_fingerprints,
    study_identity,
    study_settings,
    windows_fingerprint,
)
from fasp_core.models.compensation_choice import COMPENSATIONS

MADE = {
    "model": "m",
    "dtype": "torch.float32",
    "prompts": {"religion": "r", "age": "a", "likelihood.age": "l"},
    "windows": "w",
    "scorer": ("embedded", "e"),
    "split": "valid",
    "settings": EvaluationSettings(),
}


def plan(**changes):
    return make_plan(**{**MADE, **changes})


def test_a_target_has_its_heads_in_order_each_once():
    target = Target("s", [(5, 1), (0, 3), (5, 1)], ["religion", "age"])
    assert target == Target("s", ((0, 3), (5, 1)), ("religion", "age"), "valid")
    assert hash(target) == hash(Target("s", ((0, 3), (5, 1)), ("religion", "age")))
    assert target != replace(target, streams=("age", "religion"))  # the order in which they are measured


def test_the_same_parts_have_the_same_keys():
    assert plan() == plan(prompts={"likelihood.age": "l", "age": "a", "religion": "r"})
    assert plan().bias_streams == ("age", "likelihood.age", "religion")


def test_windows_measured_by_earlier_versions_are_found_and_texts_are_drawn_anew():
    made = plan(prompts={"religion": "r", "age": "a"})  # as it was before log-odds were streams
    assert (made.identity, made.streams["text"]) == ("f0754ed2ebe6c118", "9180bb7d90603596")
    before = {"religion": "a95fb0d217e9367a", "age": "4d26f4b4ab2745e0"}  # their noise was in float32, see `gumbel`
    assert all(made.streams[axis] != key for axis, key in before.items())


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ({"model": "other"}, {"text", "religion", "age", "likelihood.age"}),
        ({"dtype": "torch.bfloat16"}, {"text", "religion", "age", "likelihood.age"}),
        ({"split": "test"}, {"text", "religion", "age", "likelihood.age"}),
        ({"windows": "other"}, {"text"}),
        ({"scorer": ("embedded", "other")}, {"religion", "age"}),
        ({"prompts": {**MADE["prompts"], "religion": "other"}}, {"religion"}),
        ({"prompts": {**MADE["prompts"], "likelihood.age": "other"}}, {"likelihood.age"}),
        ({"settings": EvaluationSettings(seed=1)}, {"text", "religion", "age", "likelihood.age"}),
        ({"settings": EvaluationSettings(prompts_per_block=6)}, {"likelihood.age"}),
        ({"settings": EvaluationSettings(max_new_tokens=5)}, {"religion", "age"}),
        ({"settings": EvaluationSettings(top_k=50)}, {"religion", "age"}),
        ({"settings": EvaluationSettings(lowercase=True)}, {"religion", "age"}),
        ({"settings": EvaluationSettings(texts_per_block=6)}, {"religion", "age"}),
        ({"settings": EvaluationSettings(windows_per_block=1)}, {"text"}),
        ({"settings": EvaluationSettings(blocks=3)}, set()),  # fewer of the same blocks
    ],
)
def test_a_change_moves_the_streams_whose_numbers_it_changes(change, moved):
    first, second = plan(), plan(**change)
    assert {name for name in first.streams if first.streams[name] != second.streams[name]} == moved
    assert first.key != second.key


def test_axes_share_what_they_have_in_common():
    alone = plan(prompts={"age": "a"})
    assert alone.streams == {name: plan().streams[name] for name in ("text", "age")}
    assert alone.key != plan().key
    assert alone.identity == plan().identity


def test_an_identity_covers_the_plans_of_its_parts():
    identity = Identity(plan().identity, {**MADE["prompts"], "race": "x"})
    assert identity.covers(plan())
    assert identity.covers(plan(split="test", settings=EvaluationSettings(seed=5)))
    assert not identity.covers(plan(model="other"))
    assert not identity.covers(plan(windows="other"))
    assert not identity.covers(plan(scorer=("vader", "e")))
    assert not identity.covers(plan(prompts={"age": "other"}))
    assert not identity.covers(plan(prompts={"nationality": "n"}))


def test_the_prompts_of_an_axis_have_the_same_fingerprint_beside_others():
    prompts = load_prompts()
    alone = stream_fingerprints(prompts.select(axes=["religion"]), ["religion"])
    assert stream_fingerprints(prompts, ["religion", "nationality"])["religion"] == alone["religion"]
    assert len(set(stream_fingerprints(prompts, prompts.axes).values())) == len(prompts.axes)


def test_windows_in_another_order_or_split_are_others():
    windows = pd.DataFrame({"split": ["valid", "test"], "token_ids": [[1, 2], [3]]})
    assert windows_fingerprint(windows) == windows_fingerprint(windows.copy())
    assert windows_fingerprint(windows.iloc[::-1]) != windows_fingerprint(windows)
    assert windows_fingerprint(windows.assign(split="test")) != windows_fingerprint(windows)


def test_a_study_is_evaluated_as_it_samples(tmp_path):
    study = make_study(tmp_path)
    assert study_settings(study) == EvaluationSettings(seed=0, max_new_tokens=20)
    identity = study_identity(study)
    likelihood = (f"likelihood.{axis}" for axis in study.prompts.axes)
    assert set(identity.prompts) == {*study.prompts.axes, "toxicity", *likelihood}
    assert identity == study_identity(study)


def test_names_of_pruned_models_are_read_back():
    heads = ((0, 3), (5, 1))
    for compensate in COMPENSATIONS:
        assert parse_pruned_name(pruned_name(heads, compensate)) == (heads, compensate)
    assert pruned_name(heads) == "0.3-5.1"
    assert pruned_name(heads[::-1], "mean") == "0.3-5.1+mean"
    assert parse_pruned_name(pruned_name((), "mean")) == ((), "none")
    for text in ("0.3+", "0.3+none", "0.3+least", "0.3+mean+mean"):
        with pytest.raises(ValueError, match="is no compensation"):
            parse_pruned_name(text)


def test_nothing_takes_the_place_of_no_heads():
    assert Target("s", (), (), compensate="mean") == Target("s", (), ())
    assert Target("s", ((0, 3),), (), compensate="mean").name == "0.3+mean"
