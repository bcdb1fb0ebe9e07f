"""Evaluation by likelihood: log-odds against plain forward passes through gated models, block by block, kept and found.

Covers `streams`. Estimators: tests/stats.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import tiny
from helpers.log_odds import PAIRS, brute_force
from helpers.scored_both_ways import score_both_ways

from fasp_core.data.order import each_prompt_once
from fasp_core.data.prompt_set import PromptSet
from fasp_core.data.prompts import load_prompts
from fasp_core.errors import Cancelled, InputError
from fasp_core.evaluation import blocks
from fasp_core.evaluation.blocks import MemoryStore
from fasp_core.evaluation.evaluate import evaluate, evaluate_study, evaluate_target
from fasp_core.evaluation.history import measured_set, measured_sets, paired_texts
from fasp_core.evaluation.keys import EvaluationSettings, Target
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.evaluation.streams import axis_of, metric_of, stream_of, study_streams
from fasp_core.models.heads import gate_heads

AXIS = "gender_and_sex"
STREAM = f"likelihood.{AXIS}"
SMALL = EvaluationSettings(blocks=2, prompts_per_block=12, windows_per_block=1, window_tokens=24)
BY_LIKELIHOOD = {"metrics": ["likelihood"], "pairs": PAIRS, "settings": SMALL}


def measured(lm, pruned, **more):
    return list(evaluate(lm, pruned, [AXIS], **{**BY_LIKELIHOOD, **more}))


def test_a_pruned_set_changes_the_bias_by_what_brute_force_says(tiny_llama):
    prompts, off = load_prompts(), [(0, 1), (2, 3)]
    found = measured(tiny_llama, off, prompts=prompts, split="test")[-1]
    frame = prompts.select(axes=[AXIS], split="test").frame
    order = each_prompt_once(frame, seed=0, axis=f"evaluate test {AXIS}", n_blocks=PAIRS.n_blocks).head(24)
    chosen = frame.set_index("prompt_id").loc[order["prompt_id"]]

    def means():
        values = brute_force(tiny_llama, chosen["prompt"].tolist()).mean(1)
        return pd.Series(values).groupby(chosen["group"].to_numpy()).mean()

    before = means()
    with gate_heads(tiny_llama.model, off=off):
        after = means()
    for when, values in (("before", before), ("after", after)):
        told = getattr(found, when).odds[AXIS]
        assert told.bias.value == pytest.approx((values - values.mean()).abs().sum(), abs=5e-3)
        assert {g: e.value for g, e in told.groups.items()} == pytest.approx(values.to_dict(), abs=2e-3)
    change = found.change.odds[AXIS].bias
    assert change.value == pytest.approx(found.after.odds[AXIS].bias.value - found.before.odds[AXIS].bias.value)
    assert change.low < change.value < change.high


def test_results_come_block_by_block_with_intervals_from_the_first_on(tiny_llama):
    steps = measured(tiny_llama, [(0, 1)])
    assert [(step.n_windows, step.n_readings, step.n_texts) for step in steps] == [
        (1, 0, 0),
        (1, 12, 0),
        (2, 12, 0),
        (2, 24, 0),
    ]
    assert [step.done for step in steps] == [False] * 3 + [True]
    assert steps[0].change.odds == {}
    first = steps[1].change.bias_by("likelihood")[AXIS]
    assert math.isfinite(first.se)
    assert first.n == 12
    assert steps[-1].bias == {}  # no text, no toxicity
    assert steps[-1].from_json(steps[-1].to_json()) == steps[-1]


def test_pruning_nothing_changes_nothing_and_needs_no_scorer(tiny_llama, monkeypatch):
    monkeypatch.setattr("fasp_core.evaluation.evaluate.open_scorer", None)
    change = measured(tiny_llama, [])[-1].change.odds[AXIS]
    assert (change.bias.value, change.bias.se) == (0.0, 0.0)


def test_a_measured_set_is_not_read_again_and_other_axes_share_the_blocks(tiny_llama, monkeypatch):
    store, read = MemoryStore(), []
    monkeypatch.setattr(
        blocks, "likelihood_of", lambda lm, prompts, *args, **more: read.append(len(prompts)) or some_odds(prompts)
    )
    first = measured(tiny_llama, [(0, 0)], store=store)
    assert read == [12] * 4  # two blocks, intact and pruned
    (again,) = measured(tiny_llama, [(0, 0)], store=store)
    assert again.to_json() == first[-1].to_json()
    list(evaluate(tiny_llama, [(0, 0)], ["religion", AXIS], **BY_LIKELIHOOD, store=store))
    assert read == [12] * 8


def some_odds(prompts):
    """As many log-odds as are asked for."""
    return np.arange(2.0 * len(prompts)).reshape(-1, 2)


def test_no_prompt_is_read_twice_with_the_same_stems(tiny_llama):
    few = load_prompts().select(axes=[AXIS], split="valid").frame.groupby("group").head(2)
    store, prompts = MemoryStore(), PromptSet("few", few.reset_index(drop=True))
    last = measured(tiny_llama, [], prompts=prompts, settings=replace(SMALL, blocks=9), store=store)[-1]
    assert last.n_readings == len(few) * PAIRS.n_blocks


def test_what_is_shown_first_is_measured_first(tiny_llama):
    steps = evaluate(tiny_llama, [], ["religion", AXIS], **{**BY_LIKELIHOOD, "metrics": ["likelihood", "toxicity"]})
    known = [(*step.after.odds, *step.after.axes) for step in steps]
    assert known[3] == ("religion",)  # complete, before another one begins
    assert known[-1] == ("religion", AXIS, "religion", AXIS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pruned": [(99, 0)]}, "does not exist"),
        ({"axes": ["gendr"]}, "unknown axis"),
        ({"split": "train"}, "unknown split"),
        ({"metrics": ["likelyhood"]}, "did you mean 'likelihood'"),
        ({"metrics": []}, "no axis to evaluate"),
    ],
)
def test_bad_input_is_one_line(tiny_llama, arguments, message):
    arguments = {**BY_LIKELIHOOD, "pruned": [], "axes": [AXIS], **arguments}
    with pytest.raises(InputError, match=message):
        next(evaluate(tiny_llama, **arguments))


def test_stop_ends_it_and_restores_the_model(tiny_llama):
    with pytest.raises(Cancelled):
        measured(tiny_llama, [(0, 1)], stop=lambda: True)
    assert not any(module._forward_pre_hooks for module in tiny_llama.model.modules())


# -- of a study ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(make_language_model, tmp_path_factory):
    """A study of two axes by likelihood, of which one has toxicity too; evaluations are small."""
    lm = make_language_model(tiny.LLAMA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fasp_core.evaluation.evaluate.study_settings", lambda study: SMALL)
        yield score_both_ways(lm, tmp_path_factory.mktemp("study"), "s")


def test_names_of_streams():
    assert (stream_of(AXIS), stream_of(AXIS, "likelihood")) == (AXIS, STREAM)
    assert [(axis_of(name), metric_of(name)) for name in (AXIS, STREAM)] == [(AXIS, "toxicity"), (AXIS, "likelihood")]


def test_each_axis_of_a_study_is_measured_by_what_it_was_scored_by(study):
    assert study_streams(study) == ("religion", "likelihood.religion", STREAM)
    assert study_streams(study, [AXIS]) == (STREAM,)
    assert study_streams(study, [AXIS], ["toxicity"]) == (AXIS,)
    assert study_streams(study, ["nationality"]) == ("nationality", "likelihood.nationality")


def test_a_measured_set_is_found_again_by_the_measure_it_was_measured_by(study, tiny_llama):
    store, heads = EvaluationStore(study.folder.parent), ((0, 0), (1, 2))
    last = list(evaluate_study(study, tiny_llama, heads, [AXIS], store=store))[-1]
    target = Target("s", heads, (STREAM,))
    assert measured_set(study, target).evaluation == last
    assert measured_set(study, replace(target, streams=(AXIS,))) is None
    assert [found.target for found in measured_sets(study, stream=STREAM)] == [target]
    assert measured_sets(study, stream="religion") == []
    assert paired_texts(measured_set(study, target).plan, heads, study.folder.parent).empty
    again = list(evaluate_target(study, tiny_llama, target, store=store))
    assert again == [last]


def test_the_toxicity_of_a_set_is_found_beside_its_likelihood(study, tiny_llama):
    store, heads = EvaluationStore(study.folder.parent), ((2, 2),)
    for metric in ("toxicity", "likelihood"):
        list(evaluate_study(study, tiny_llama, heads, ["religion"], metrics=[metric], store=store))
    for metric in ("toxicity", "likelihood"):
        found = next(s for s in measured_sets(study, stream=stream_of("religion", metric)) if s.target.heads == heads)
        assert set(found.evaluation.after.bias_by(metric)) == {"religion"}
