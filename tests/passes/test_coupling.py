"""Maximal coupling: exact draws of the changed model, which are the intact model's as often as any can be."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from helpers.drawn import PROMPTS, chi_square, keys

from fasp_core.errors import Cancelled
from fasp_core.models.heads import gate_heads
from fasp_core.passes.coupling import continuation_log_probs, coupled_continuations
from fasp_core.passes.sampling import SamplingSettings, sample_continuations

OFF = [(0, 0)]
LENGTH = 6


def both(lm, prompts, names, off=OFF, length=LENGTH):
    """The intact model's continuations, and those coupled to them."""
    before = sample_continuations(lm, prompts, names, SamplingSettings(max_new_tokens=length))
    log_probs = continuation_log_probs(lm, prompts, before)
    pruned = partial(gate_heads, lm.model, off)
    return before, coupled_continuations(lm, pruned, prompts, before, log_probs, names, length)


def next_token(lm, prompts, off=()):
    """Exact probabilities of the next token, (prompts, vocabulary)."""
    with torch.no_grad(), gate_heads(lm.model, off=off):
        return lm.model(torch.tensor(prompts)).logits[:, -1].double().softmax(-1).numpy()


@pytest.fixture(scope="module")
def many(tiny_llama):
    prompt = PROMPTS[0]
    return both(tiny_llama, [prompt] * 4000, keys(4000), length=2)


def test_the_first_token_follows_the_changed_model(many, tiny_llama):
    assert chi_square([after[0] for after in many[1]], next_token(tiny_llama, [PROMPTS[0]], OFF)[0]) < 1.6


def test_so_does_the_second(many, tiny_llama):
    """Its exact probabilities: over every possible first token, in proportion to that one's."""
    first = next_token(tiny_llama, [PROMPTS[0]], OFF)[0]
    second = next_token(tiny_llama, [[*PROMPTS[0], token] for token in range(first.size)], OFF)
    longer = [after[1] for after in many[1] if len(after) > 1]
    ends = tiny_llama.model.generation_config.eos_token_id
    going_on = first.copy()
    if ends is not None:
        going_on[ends] = 0
    assert chi_square(longer, going_on @ second / going_on.sum()) < 1.6


def test_as_many_first_tokens_stay_as_can(many, tiny_llama):
    """No coupling keeps more than 1 − ½ Σ |p − q|; shared noise keeps fewer."""
    p, q = (next_token(tiny_llama, [PROMPTS[0]], off)[0] for off in ((), OFF))
    most = 1 - np.abs(p - q).sum() / 2
    n = len(many[0])
    kept = np.mean([before[0] == after[0] for before, after in zip(*many, strict=True)])
    assert kept == pytest.approx(most, abs=4 * np.sqrt(most * (1 - most) / n))


def test_a_model_without_any_change_says_the_same(tiny_llama):
    before, after = both(tiny_llama, PROMPTS * 10, keys(40), off=[])
    assert after == before


def test_a_text_depends_on_its_prompt_and_key_not_on_its_batch(tiny_llama):
    _, together = both(tiny_llama, PROMPTS, keys(4))
    alone = [both(tiny_llama, [prompt], [key])[1][0] for prompt, key in zip(PROMPTS, keys(4), strict=True)]
    assert together == alone
    assert together != both(tiny_llama, PROMPTS, keys(4, seed=1))[1]


def test_log_probabilities_are_those_of_the_tokens(tiny_llama):
    continuations = [[7], [8, 9, 10]]
    found = continuation_log_probs(tiny_llama, PROMPTS[:2], continuations)
    for prompt, tokens, values in zip(PROMPTS, continuations, found, strict=False):
        one_by_one = [
            np.log(next_token(tiny_llama, [[*prompt, *tokens[:i]]])[0, token]) for i, token in enumerate(tokens)
        ]
        assert values == pytest.approx(one_by_one, abs=1e-4)


def test_a_text_ends_with_the_end_token_and_none_is_longer_than_asked(tiny_llama):
    config = tiny_llama.model.generation_config
    saved, config.eos_token_id = config.eos_token_id, 5
    try:
        before, after = both(tiny_llama, [PROMPTS[0]] * 300, keys(300))
    finally:
        config.eos_token_id = saved
    ended = [text for text in after if 5 in text]
    assert ended
    assert all(text.index(5) == len(text) - 1 for text in ended)
    assert all(len(text) == LENGTH for text in after if 5 not in text)
    assert any(a != b for a, b in zip(after, before, strict=True))


def test_stopping_is_quick_and_loud(tiny_llama):
    before = sample_continuations(tiny_llama, PROMPTS, keys(4), SamplingSettings(max_new_tokens=LENGTH))
    log_probs = [[100.0] * len(tokens) for tokens in before]  # so likely before that none is kept
    pruned = partial(gate_heads, tiny_llama.model, OFF)
    with pytest.raises(Cancelled):
        coupled_continuations(tiny_llama, pruned, PROMPTS, before, log_probs, keys(4), LENGTH, stop=lambda: True)
