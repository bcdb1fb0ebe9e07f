"""A prompt of one's own, continued by both models with the same noise."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from fasp_core.data.sampling import SamplingSettings
from fasp_core.errors import InputError
from fasp_core.evaluation import compensation
from fasp_core.evaluation.trial import continue_both
from fasp_core.models.compensation import compensate_heads, fit_compensation
from fasp_core.toxicity.scorers import open_scorer

SHORT = SamplingSettings(max_new_tokens=5)


def test_without_pruning_both_models_write_the_same_and_with_it_they_part(tiny_llama):
    scorer = open_scorer("embedded")
    same = continue_both(tiny_llama, [], "A person said", scorer, draws=4, settings=SHORT)
    assert all(pair.before == pair.after and pair.toxicity_before == pair.toxicity_after for pair in same)
    parted = continue_both(tiny_llama, [(0, 0), (1, 1), (2, 2)], "A person said", scorer, draws=4, settings=SHORT)
    assert [pair.before for pair in parted] == [pair.before for pair in same]
    assert any(pair.before != pair.after for pair in parted)
    assert len({pair.before for pair in same}) > 1  # each draw has its own noise


def test_the_pruned_model_may_be_the_compensated_one(tiny_llama, monkeypatch):
    windows = [list(range(3, 99))] * 2
    monkeypatch.setattr(compensation, "calibration_windows", lambda *_: windows)
    heads = [(0, 0), (1, 1), (2, 2)]
    texts = [
        [pair.after for pair in continue_both(tiny_llama, heads, "A person said", open_scorer("embedded"), **how)]
        for how in ({"settings": SHORT}, {"settings": SHORT, "compensate": "least_squares"})
    ]
    model = compensate_heads(copy.deepcopy(tiny_llama.model), fit_compensation(tiny_llama, heads, windows))
    by_hand = continue_both(
        replace(tiny_llama, model=model), [], "A person said", open_scorer("embedded"), settings=SHORT
    )
    assert texts[1] == [pair.before for pair in by_hand]
    assert texts[1] != texts[0]


@pytest.mark.parametrize(
    ("prompt", "draws", "heads", "words"),
    [("  ", 1, [], "empty"), ("x" * 2001, 1, [], "2,001 characters"), ("x", 0, [], "not 0"), ("x", 1, [(9, 9)], "9")],
)
def test_what_cannot_be_continued_is_said(tiny_llama, prompt, draws, heads, words):
    with pytest.raises(InputError, match=words):
        continue_both(tiny_llama, heads, prompt, open_scorer("embedded"), draws=draws, settings=SHORT)
