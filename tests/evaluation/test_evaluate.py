"""`evaluate`, its `blocks` and `totals`: progressive, cached by head set, unbiased when cut short.

Estimators: tests/stats.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fasp_core.data.articles import TextSet
from fasp_core.errors import Cancelled, InputError
from fasp_core.evaluation.blocks import MemoryStore
from fasp_core.evaluation.evaluate import evaluate, evaluate_study
from fasp_core.evaluation.keys import EvaluationSettings, study_settings
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.scoring.refine import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings

AXIS = "gender_and_sex"
SETTINGS = EvaluationSettings(max_new_tokens=4, blocks=4, texts_per_block=12, windows_per_block=2, window_tokens=24)


def run(lm, pruned, **more):
    return list(evaluate(lm, pruned, [AXIS], **{"settings": SETTINGS, **more}))


def test_results_grow_and_end(tiny_llama):
    steps = run(tiny_llama, [(0, 0), (1, 2)])
    assert [step.done for step in steps] == [False] * 7 + [True]  # 4 blocks of windows, 4 of texts, in turns
    assert [step.n_texts for step in steps] == [0, 12, 12, 24, 24, 36, 36, 48]
    assert [step.n_windows for step in steps] == [2, 2, 4, 4, 6, 6, 8, 8]
    assert steps[-1].pruned == ((0, 0), (1, 2))
    assert steps[-1].after.ppl.value != steps[-1].before.ppl.value
    assert set(steps[0].bias) == set()
    assert set(steps[1].bias) == {AXIS}
    assert set(steps[1].change.degeneration) == {"repetition", "distinct_bigrams", "length"}


def test_pruning_nothing_changes_nothing(tiny_llama):
    last = run(tiny_llama, [])[-1]
    assert last.change.ppl.value == 0
    assert last.change.bias[AXIS].value == 0


def test_a_measured_head_set_is_not_measured_again(tiny_llama, monkeypatch):
    store = MemoryStore()
    first = run(tiny_llama, [(0, 0)], store=store)
    for sampler in ("sample_continuations", "coupled_continuations"):
        monkeypatch.setattr(f"fasp_core.evaluation.blocks.{sampler}", None)
    (again,) = run(tiny_llama, [(0, 0)], store=store)  # at once, and whole
    assert again.to_json() == first[-1].to_json()
    store._evaluations.clear()  # its blocks sum up to the same
    assert [e.to_json() for e in run(tiny_llama, [(0, 0)], store=store)] == [e.to_json() for e in first]


def test_evaluations_of_other_axes_share_blocks(tiny_llama, monkeypatch):
    store = MemoryStore()
    run(tiny_llama, [(0, 0)], store=store)
    both = list(evaluate(tiny_llama, [(0, 0)], ["religion", AXIS], settings=SETTINGS, store=store))[-1]
    assert set(both.bias) == {AXIS, "religion"}
    alone = list(evaluate(tiny_llama, [(0, 0)], [AXIS], settings=SETTINGS, store=store))[-1]
    assert alone.after.bias[AXIS] == both.after.bias[AXIS]
    assert alone.after.ppl == both.after.ppl
    samples = sum(stream == make_key(store, AXIS) for stream, _, _ in store._blocks)
    assert samples == 3 * SETTINGS.blocks  # the intact model, its log-probabilities and the pruned one, each once


def make_key(store, axis):
    """The stream of an axis, told by the texts it holds."""
    return next(stream for (stream, _, _), rows in store._blocks.items() if rows[0].get("axis") == axis)


def test_partial_results_are_unbiased(tiny_llama):
    """The mean over many evaluations, each cut off after its first blocks, is that of the whole one.

    Every group has as many texts in every block, so group means, and with them mean toxicity and its changes, have
    the same expectation after any number of blocks. Checked for the intact and the pruned model, on values made from
    the texts themselves, so that prompts differ much.
    """

    class Length:
        name, fingerprint = "length", "1"

        def score(self, texts):
            return np.array([len(text) % 97 / 97 for text in texts])

    settings = EvaluationSettings(max_new_tokens=2, blocks=12, texts_per_block=6, windows_per_block=2, window_tokens=24)
    whole = run(tiny_llama, [(0, 0)], settings=settings, scorer=Length())[-1]
    cut = []
    for seed in range(20):
        steps = evaluate(tiny_llama, [(0, 0)], [AXIS], settings=replace(settings, seed=seed), scorer=Length())
        cut.append(next(step for step in steps if step.bias))  # one text per group
    for part in ("before", "after", "change"):
        for group, expected in getattr(whole, part).axes[AXIS].groups.items():
            values = np.array([getattr(e, part).axes[AXIS].groups[group].value for e in cut])
            error = np.hypot(values.std(ddof=1) / np.sqrt(len(values)), expected.se)
            assert abs(values.mean() - expected.value) <= 4 * error, (part, group)  # 0 where no text changed
        nll = np.log([getattr(e, part).ppl.value for e in cut]) if part != "change" else None
        if nll is not None:
            error = np.hypot(nll.std(ddof=1) / np.sqrt(len(nll)), getattr(whole, part).ppl.se / whole.ppl)
            assert abs(nll.mean() - np.log(getattr(whole, part).ppl.value)) < 4 * error


def test_a_study_is_evaluated_on_its_own_prompts_windows_and_settings(tiny_llama, tmp_path):
    text = TextSet(
        "mine",
        pd.DataFrame(
            {
                "article": ["a", "b"],
                "split": ["valid", "test"],
                "text": ["the quick brown fox " * 12, "lorem ipsum " * 20],
            }
        ),
    )
    study = score_heads(
        tiny_llama,
        axes=[AXIS],
        text=text,
        name="s",
        root=tmp_path,
        budget=Budget(samples=12, windows=2, knockout_windows=0),
        settings=StudySettings(seed=3, max_new_tokens=3, window_tokens=24, samples_per_shard=12, windows_per_shard=4),
    )
    settings = study_settings(study)
    assert (settings.seed, settings.max_new_tokens) == (3, 3)
    store = MemoryStore()
    next(evaluate_study(study, tiny_llama, [(0, 0)], split="test", store=store))
    windows = study.windows
    own = {len(ids) - 1 for ids in windows.loc[windows["split"] == "test", "token_ids"]}
    (record,) = [rows for (_, heads, _), rows in store._blocks.items() if heads == ""]
    assert {row["n_tokens"] for row in record} <= own
    assert len(record) == 2


def test_an_interrupted_evaluation_resumes(tiny_llama, tmp_path):
    store = EvaluationStore(tmp_path)
    steps = evaluate(tiny_llama, [(0, 1)], [AXIS], settings=SETTINGS, store=store)
    next(steps)
    steps.close()
    resumed = run(tiny_llama, [(0, 1)], store=EvaluationStore(tmp_path))
    assert resumed[-1].to_json() == run(tiny_llama, [(0, 1)])[-1].to_json()


def test_stop_ends_it_and_restores_the_model(tiny_llama):
    with pytest.raises(Cancelled):
        run(tiny_llama, [(0, 0)], stop=lambda: True)
    assert not any(m._forward_pre_hooks for m in tiny_llama.model.modules())


def test_valid_and_test_share_no_descriptor(tiny_llama):
    from fasp_core.data.prompts import load_prompts

    store = MemoryStore()
    used = {}
    for split in ("valid", "test"):
        run(tiny_llama, [], split=split, store=store)
    descriptors = load_prompts().frame.set_index("prompt_id")["descriptor"]
    for (stream, _, _), rows in store._blocks.items():
        if "prompt_id" in rows[0]:
            used.setdefault(stream, set()).update(descriptors[row["prompt_id"]] for row in rows)
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
