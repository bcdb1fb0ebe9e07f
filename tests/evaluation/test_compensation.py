"""A compensated evaluation measures the model that the refitted weights make, and its numbers are kept apart."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
import torch

from fasp_core.errors import InputError
from fasp_core.evaluation import blocks, compensation
from fasp_core.evaluation.blocks import MemoryStore
from fasp_core.evaluation.compensation import fit_on_calibration_text
from fasp_core.evaluation.evaluate import evaluate
from fasp_core.evaluation.keys import EvaluationSettings, pruned_name
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.models.compensation import compensate_heads
from fasp_core.models.compensation_choice import COMPENSATIONS

pytestmark = pytest.mark.usefixtures("short_calibration_text")

AXIS = "gender_and_sex"
SETTINGS = EvaluationSettings(
    max_new_tokens=3, blocks=2, texts_per_block=12, windows_per_block=2, window_tokens=24, prompts_per_block=6
)
HEADS = ((0, 1), (1, 0), (1, 3))


def measured(lm, heads, compensate="none", store=None, **more):
    settings = {"settings": SETTINGS, "metrics": ("toxicity", "likelihood"), **more}
    return list(evaluate(lm, heads, [AXIS], compensate=compensate, store=store, **settings))[-1]


@pytest.fixture(scope="module")
def store():
    return MemoryStore()


@pytest.fixture(scope="module")
def results(tiny_llama, store):
    return {how: measured(tiny_llama, HEADS, how, store) for how in COMPENSATIONS}


@pytest.mark.parametrize("how", ["mean", "least_squares"])
def test_it_is_the_model_with_the_refitted_weights(tiny_llama, results, how):
    """Truth: the refit put into a copy of the model, which is then evaluated as any intact model is."""
    model = compensate_heads(copy.deepcopy(tiny_llama.model), fit_on_calibration_text(tiny_llama, HEADS, how))
    by_hand = measured(replace(tiny_llama, model=model), ())
    assert results[how].compensate == how
    assert results[how].before == results["none"].before
    assert results[how].after.ppl.value == pytest.approx(by_hand.before.ppl.value, rel=1e-5)
    assert results[how].after.axes[AXIS].groups == by_hand.before.axes[AXIS].groups
    assert results[how].after.odds[AXIS].bias.value == pytest.approx(by_hand.before.odds[AXIS].bias.value, rel=1e-4)


def test_few_heads_are_coupled_to_the_compensated_model(tiny_llama):
    """Maximal coupling draws from the model with refitted weights: the same texts where removal changes nothing."""
    name, projection = next(iter(enumerate(tiny_llama.layout.projections)))
    silent = copy.deepcopy(tiny_llama)
    size = silent.layout.head_dim
    with torch.no_grad():
        silent.layout.projections[name].weight[:, :size] = 0  # head (0, 0) writes nothing
    assert projection.weight[:, :size].any()
    result = measured(silent, [(0, 0)], "least_squares")
    assert result.change.bias[AXIS].value == 0
    assert result.change.ppl.value == pytest.approx(0, abs=1e-4)
    assert measured(tiny_llama, [(0, 0)], "least_squares").change.ppl.value != 0


def test_results_are_kept_apart_and_the_intact_model_is_shared(results, store):
    names = {name for _, name, _ in store._blocks}
    assert names == {"", *(pruned_name(HEADS, how) for how in COMPENSATIONS)}
    assert len(store._evaluations) == 3
    ppl = [results[how].after.ppl.value for how in COMPENSATIONS]
    assert len(set(ppl)) == 3


def test_the_model_is_as_before_and_nothing_is_fitted_twice(tiny_llama, results, store, monkeypatch):
    for module in tiny_llama.model.modules():
        assert not module._forward_pre_hooks
    assert measured(tiny_llama, HEADS).to_json() == results["none"].to_json()
    fits = []

    def counted(*args, **more):
        fits.append(args)
        return fit_on_calibration_text(*args, **more)

    monkeypatch.setattr(compensation, "fit_on_calibration_text", counted)
    assert measured(tiny_llama, HEADS, "mean", store).to_json() == results["mean"].to_json()
    assert not fits
    measured(tiny_llama, HEADS, "mean", store, settings=replace(SETTINGS, blocks=3))
    assert len(fits) == 1


def test_nothing_pruned_is_nothing_compensated(tiny_llama):
    result = measured(tiny_llama, [], "least_squares")
    assert result.compensate == "none"
    assert result.change.ppl.value == 0


def test_the_database_keeps_both(results, store, tmp_path):
    kept = EvaluationStore(tmp_path)
    plan = blocks.EvaluationPlan("k", "i", "valid", {AXIS: "stream"}, {AXIS: "p"})
    for result in results.values():
        kept.keep(plan, result)
        kept.put("stream", pruned_name(HEADS, result.compensate), 0, result.compensate)
    for how in COMPENSATIONS:
        assert kept.kept(plan, HEADS, how).to_json() == results[how].to_json()
        assert kept.blocks("stream", HEADS, how) == {0: how}
        assert [text for _, text, _ in kept.evaluations("i", HEADS, how)] == [results[how].to_json()]


def test_earlier_results_were_not_compensated(results):
    record = json.loads(results["none"].to_json())
    assert record.pop("compensate") == "none"
    assert Evaluation.from_json(json.dumps(record)).compensate == "none"


def test_an_unknown_compensation_is_refused_in_one_line(tiny_llama):
    with pytest.raises(InputError, match=r"unknown compensation 'least'; did you mean 'least_squares'\?|least_squares"):
        measured(tiny_llama, HEADS, "least")
