"""The mean toxicity as a target beside the axes: scored by a study, selected by, and measured, on a tiny model."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_study import make_study

from fasp_core.data.prompt_set import PromptSet
from fasp_core.data.prompts import load_prompts
from fasp_core.errors import InputError
from fasp_core.evaluation.asked import asked_prompts, known_target
from fasp_core.evaluation.evaluate import evaluate
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.evaluation.streams import stream_of, study_streams
from fasp_core.selection.prediction import predict_effect
from fasp_core.selection.select_heads import select_heads
from fasp_core.stats.bias import head_effects
from fasp_core.study.effects import axis_sums

TARGET = "toxicity"
SETTINGS = EvaluationSettings(max_new_tokens=4, blocks=3, texts_per_block=10, windows_per_block=2, window_tokens=24)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("cache"))


def test_a_study_scores_it_beside_its_axes(study):
    scores = study.scores()
    assert scores.axes == ["gender_and_sex", "religion"]
    assert scores.targets == [*scores.axes, TARGET]
    parts = [head_effects(axis_sums(study, axis)).level for axis in scores.axes]
    np.testing.assert_allclose(scores.z_bias(TARGET), np.mean([part.z for part in parts], axis=0))
    np.testing.assert_allclose(scores.z_bias_se(TARGET), np.hypot(parts[0].z_se, parts[1].z_se) / 2)
    assert scores.base_bias(TARGET).n == sum(scores.base_bias(axis).n for axis in scores.axes)
    assert scores.verdict(TARGET) is None
    assert TARGET not in scores.prompt_echo


def test_it_survives_a_file(study, tmp_path):
    scores = study.scores()
    scores.to_parquet(tmp_path / "scores.parquet")
    again = type(scores).read(tmp_path / "scores.parquet")
    assert again.targets == scores.targets
    assert again.base_bias(TARGET) == scores.base_bias(TARGET)
    assert again.reliability(TARGET) == scores.reliability(TARGET)


def test_heads_are_chosen_by_it(study):
    scores = study.scores()
    chosen = select_heads(scores, "bias_only", axis=TARGET, alpha=0.1)
    highest = np.argsort(-scores.z_bias(TARGET), kind="stable")[: len(chosen.pruned)]
    assert {layer * scores.heads_per_layer + head for layer, head in chosen.pruned} == set(highest.tolist())
    predicted = predict_effect(scores, chosen.pruned, TARGET)
    assert predicted.bias.change == pytest.approx(-scores.z_bias(TARGET)[highest].sum())
    with pytest.raises(InputError, match="the mean toxicity has none; choose fasp_robust"):
        select_heads(scores, "fasp_joint", axis=TARGET)
    with pytest.raises(InputError, match="no scores for axis 'toxicity'"):
        type(scores)(scores.frame.drop(columns=["z_toxicity", "z_toxicity_se"]), 6, 4).z_bias(TARGET)


def test_it_asks_the_prompts_of_every_axis_alike():
    prompts = load_prompts()
    frame, shares = asked_prompts(prompts, TARGET, "valid")
    assert list(shares.index) == sorted(prompts.axes)
    assert set(shares) == {0.2}
    valid = prompts.frame[prompts.frame["split"] == "valid"]
    assert frame["prompt_id"].tolist() == valid["prompt_id"].tolist()
    assert frame["group"].tolist() == valid["axis"].tolist()
    one, of_groups = asked_prompts(prompts, "religion", "test")
    assert set(one["axis"]) == {"religion"}
    assert of_groups.sum() == pytest.approx(1)
    assert known_target(prompts, TARGET) == TARGET
    with pytest.raises(InputError, match="unknown axis"):
        known_target(prompts, "toxicities")


def test_it_is_measured_as_the_mean_over_axes(tiny_llama):
    class Letters:
        name, fingerprint = "letters", "1"

        def score(self, texts):
            return np.array([len(text) % 13 / 13 for text in texts])

    how = {"settings": SETTINGS, "scorer": Letters()}
    last = list(evaluate(tiny_llama, [(0, 0), (1, 1)], [TARGET], **how))[-1]
    assert last.n_texts == 3 * 10
    for part in (last.before, last.after):
        means = part.axes[TARGET].groups
        assert sorted(means) == sorted(load_prompts().axes)
        assert part.bias[TARGET].value == pytest.approx(np.mean([each.value for each in means.values()]))
        assert part.axes[TARGET].floor is None
    changed = last.after.bias[TARGET].value - last.before.bias[TARGET].value
    assert last.change.bias[TARGET].value == pytest.approx(changed)
    nothing = list(evaluate(tiny_llama, [], [TARGET], **how))[-1]
    assert (nothing.change.bias[TARGET].value, nothing.change.bias[TARGET].se) == (0, 0)


def test_it_has_one_measure(study):
    assert study_streams(study, ["religion", TARGET]) == ("religion", TARGET)
    with pytest.raises(InputError, match="not measured by likelihood"):
        stream_of(TARGET, "likelihood")


def test_no_axis_can_take_its_name():
    frame = load_prompts().select(axes=["religion"]).frame.assign(axis=TARGET)
    with pytest.raises(InputError, match="'toxicity' cannot name an axis"):
        PromptSet("mine", frame)
