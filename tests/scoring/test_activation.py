"""The baseline activation_difference: against plain forward passes, by hand, and kept in a study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from fasp_core.errors import InputError
from fasp_core.scoring.activation import PAIRS_AT_ONCE, last_outputs, prompt_pairs, summed_differences
from fasp_core.scoring.score_heads import Budget, score_heads
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.study import open_study

AXIS = "gender_and_sex"
TEXTS = ["I met a man, and", "I met a woman, and", "They say"]


@pytest.fixture(params=["tiny_llama", "tiny_gpt2"])
def lm(request):
    return request.getfixturevalue(request.param)


def outputs_by_hand(lm, text):
    """What the output projection of each layer gets at the last token, one text at a time, (N, D)."""
    seen = []
    handles = [p.register_forward_pre_hook(lambda _, args: seen.append(args[0][0, -1])) for p in lm.layout.projections]
    with torch.no_grad():
        lm.model(torch.tensor([lm.tokenizer(text)["input_ids"]]))
    for handle in handles:
        handle.remove()
    return torch.cat([x.view(lm.layout.heads_per_layer, -1) for x in seen])


def test_outputs_are_those_of_plain_forward_passes(lm):
    found = last_outputs(lm, TEXTS)
    for text, outputs in zip(TEXTS, found, strict=True):
        torch.testing.assert_close(outputs, outputs_by_hand(lm, text), atol=1e-4, rtol=1e-4)
    assert not any(p._forward_pre_hooks for p in lm.layout.projections)


def test_the_norms_of_the_differences_are_summed_over_pairs(lm):
    pairs = [(TEXTS[0], TEXTS[1]), (TEXTS[1], TEXTS[2])]
    a, b, c = (outputs_by_hand(lm, text) for text in TEXTS)
    expected = (a - b).norm(dim=-1) + (b - c).norm(dim=-1)
    np.testing.assert_allclose(summed_differences(lm, pairs), expected.numpy(), atol=1e-4)


def test_prompts_that_are_the_same_do_not_differ(lm):
    np.testing.assert_allclose(summed_differences(lm, [(TEXTS[0], TEXTS[0])]), 0.0, atol=1e-6)


def frame(rows):
    return pd.DataFrame(rows, columns=["prompt_id", "group", "descriptor", "template", "prompt"])


def test_pairs_differ_in_the_group_alone():
    rows = [
        (i, group, group, template, f"{group} {template}")
        for i, (group, template) in enumerate((group, template) for group in "ab" for template in ("x", "y"))
    ]
    pairs = prompt_pairs(frame([*rows, (9, "c", "c", "z", "c z")]), AXIS, 0)
    assert sorted(map(sorted, pairs)) == [["a x", "b x"], ["a y", "b y"]]
    assert prompt_pairs(frame(rows[:2]), AXIS, 0) == []  # one group


def test_a_study_keeps_it_and_the_method_takes_the_largest(tiny_llama, tmp_path):
    study = score_heads(
        tiny_llama,
        axes=[AXIS],
        metrics=["likelihood"],
        budget=Budget(samples=0, windows=2, knockout_windows=0, likelihood_reads=12),
        name="s",
        root=tmp_path,
    )
    scores = open_study("s", tmp_path).scores(metric="likelihood")
    pairs = prompt_pairs(study.prompts.select(axes=[AXIS], split="valid").frame, AXIS, 0)
    assert len(pairs) > PAIRS_AT_ONCE, "several parts"
    difference = summed_differences(tiny_llama, pairs) / len(pairs)
    np.testing.assert_allclose(scores.column(f"activation_difference.{AXIS}"), difference, atol=1e-5)
    pruned = select_heads(scores, "activation_difference", axis=AXIS, alpha=0.25).pruned
    assert sorted(4 * layer + head for layer, head in pruned) == sorted(np.argsort(-difference)[:3].tolist())
    without = replace(scores, frame=scores.frame.drop(columns=f"activation_difference.{AXIS}"))
    with pytest.raises(InputError, match="run the same `score` again to add it"):
        select_heads(without, "activation_difference", axis=AXIS)
