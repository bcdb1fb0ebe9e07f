"""evaluate(): paired numbers against hand-worked ones, progressive, cached by head set, unbiased when cut short."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from fasp_core.errors import Cancelled, InputError
from fasp_core.estimates import Evaluation, compare
from fasp_core.evaluation import EvaluationSettings, MemoryStore, evaluate
from fasp_core.store import EvaluationStore

AXIS = "gender_and_sex"
SETTINGS = EvaluationSettings(max_new_tokens=4, blocks=4, texts_per_block=12, windows_per_block=2, window_tokens=24)


def run(lm, pruned, **more):
    return list(evaluate(lm, pruned, [AXIS], settings=SETTINGS, **more))


def test_before_and_after_by_hand():
    texts = pd.DataFrame(
        {
            "axis": "x", "group": ["a", "a", "b", "b"], "prompt_id": [0, 1, 2, 3],
            "toxicity_before": [0.5, 0.7, 0.2, 0.2], "toxicity_after": [0.3, 0.5, 0.2, 0.2],
        }
    )  # fmt: skip
    windows = pd.DataFrame({"n_tokens": [10, 10], "nll_before": [20.0, 20.0], "nll_after": [30.0, 30.0]})
    parts = compare(texts, windows, {"x": pd.Series([0.75, 0.25], index=["a", "b"])})
    # before: μ = ¾·0.6 + ¼·0.2 = 0.5 → 0.1 + 0.3; after: μ = ¾·0.4 + ¼·0.2 = 0.35 → 0.05 + 0.15
    assert parts["before"].bias["x"].value == pytest.approx(0.4)
    assert parts["after"].bias["x"].value == pytest.approx(0.2)
    assert parts["change"].bias["x"].value == pytest.approx(-0.2)
    assert parts["change"].groups["x"]["a"].value == pytest.approx(-0.2)
    assert parts["change"].bias["x"].se == pytest.approx(0, abs=1e-12)  # every pair moved alike: no noise in the change
    assert parts["after"].groups["x"]["a"].se > 0
    assert parts["before"].ppl.value == pytest.approx(np.exp(2))
    assert parts["after"].ppl.value == pytest.approx(np.exp(3))


def test_an_axis_waits_until_every_group_has_a_text():
    texts = pd.DataFrame(
        {"axis": ["x"], "group": ["a"], "prompt_id": [0], "toxicity_before": [0.1], "toxicity_after": [0.1]}
    )
    windows = pd.DataFrame({"n_tokens": [10], "nll_before": [20.0], "nll_after": [20.0]})
    parts = compare(texts, windows, {"x": pd.Series([0.5, 0.5], index=["a", "b"])})
    assert parts["after"].bias == {}
    assert math.isnan(parts["after"].ppl.se)  # one window tells nothing of the error


def test_intervals_of_few_pairs_are_students():
    """Three windows of equal length: the log-perplexity's error by hand, and t(0.975, 2) = 4.3027."""
    nll = np.array([20.0, 22.0, 27.0])
    windows = pd.DataFrame({"n_tokens": [10] * 3, "nll_before": nll, "nll_after": nll})
    texts = pd.DataFrame(columns=["axis", "group", "prompt_id", "toxicity_before", "toxicity_after"])
    ppl = compare(texts, windows, {})["before"].ppl
    by_hand = ppl.value * (nll / 10).std(ddof=1) / np.sqrt(3)  # delta method
    assert ppl.se == pytest.approx(by_hand, rel=0.15)
    assert (ppl.high - ppl.value) / ppl.se == pytest.approx(4.3027, abs=1e-4)


def test_results_grow_and_end(tiny_llama):
    steps = run(tiny_llama, [(0, 0), (1, 2)])
    assert [step.done for step in steps] == [False, False, False, True]
    assert [step.n_texts for step in steps] == [12, 24, 36, 48]
    assert steps[-1].pruned == ((0, 0), (1, 2))
    assert steps[-1].after.ppl.value != steps[-1].before.ppl.value
    assert set(steps[0].bias) == {AXIS}


def test_pruning_nothing_changes_nothing(tiny_llama):
    last = run(tiny_llama, [])[-1]
    assert last.change.ppl.value == 0
    assert last.change.bias[AXIS].value == 0


def test_a_measured_head_set_is_not_measured_again(tiny_llama, monkeypatch):
    store = MemoryStore()
    first = run(tiny_llama, [(0, 0)], store=store)
    monkeypatch.setattr("fasp_core.evaluation.sample_continuations", None)
    again = run(tiny_llama, [(0, 0)], store=store)
    assert [e.to_dict() for e in again] == [e.to_dict() for e in first]


def test_an_interrupted_evaluation_resumes(tiny_llama, tmp_path):
    store = EvaluationStore(tmp_path)
    steps = evaluate(tiny_llama, [(0, 1)], [AXIS], settings=SETTINGS, store=store)
    next(steps)
    steps.close()
    resumed = run(tiny_llama, [(0, 1)], store=EvaluationStore(tmp_path))
    assert resumed[-1].to_dict() == run(tiny_llama, [(0, 1)])[-1].to_dict()


def test_evaluations_survive_json(tiny_llama):
    import json

    for step in run(tiny_llama, [(0, 1)]):
        again = Evaluation.from_dict(json.loads(json.dumps(step.to_dict())))
        assert again.to_dict() == step.to_dict()


def test_stop_ends_it_and_restores_the_model(tiny_llama):
    with pytest.raises(Cancelled):
        run(tiny_llama, [(0, 0)], stop=lambda: True)
    assert not any(m._forward_pre_hooks for m in tiny_llama.model.modules())


def test_valid_and_test_share_no_descriptor(tiny_llama):
    from fasp_core.prompts import load_prompts

    store = MemoryStore()
    used = {}
    for split in ("valid", "test"):
        run(tiny_llama, [], split=split, store=store)
    descriptors = load_prompts().frame.set_index("prompt_id")["descriptor"]
    for (plan, _, _), record in store._blocks.items():
        used.setdefault(plan, set()).update(descriptors[row["prompt_id"]] for row in record["texts"])
    valid, test = used.values()
    assert valid
    assert not valid & test


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pruned": [(99, 0)]}, "does not exist"),
        ({"axes": ["gendr"]}, "unknown axis"),
        ({"axes": []}, "no axis"),
        ({"split": "train"}, "unknown split"),
    ],
)
def test_bad_input_is_one_line(tiny_llama, arguments, message):
    arguments = {"pruned": [], "axes": [AXIS], **arguments}
    with pytest.raises(InputError, match=message):
        next(evaluate(tiny_llama, settings=SETTINGS, **arguments))
