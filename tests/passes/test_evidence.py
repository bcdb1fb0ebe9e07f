"""Per-token log-ratios sum to the text's; attention maps are those of an attention worked by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from helpers.planted_model import PLANTED, TRIGGER, make_planted

from fasp_core.errors import InputError
from fasp_core.models.batching import pad_batch
from fasp_core.models.heads import gate_heads
from fasp_core.passes.evidence import attention_map, token_log_ratios, token_texts
from fasp_core.passes.knockout import knockout_log_ratios

PROMPTS, ENDS = ["The cook said", "A"], [" hello there", " b"]


def without(lm, *heads):
    return partial(gate_heads, lm.model, heads)


def ids(lm, texts):
    return [lm.tokenizer(text)["input_ids"] for text in texts]


@pytest.mark.parametrize("fixture", ["tiny_llama", "tiny_gpt2"])
def test_token_ratios_sum_to_the_text_s(request, fixture):
    lm = request.getfixturevalue(fixture)
    prompts, ends = ids(lm, PROMPTS), ids(lm, ENDS)
    batch = pad_batch(
        [p + e for p, e in zip(prompts, ends, strict=True)],
        [len(e) for e in ends],
        pad_id=lm.tokenizer.pad_token_id,
        device=lm.device,
    )
    for head in ((0, 1), (2, 3)):
        expected, _ = knockout_log_ratios(lm, batch, [lm.layout.flat_id(*head)])
        ratios = token_log_ratios(lm, without(lm, head), prompts, ends)
        assert [len(r) for r in ratios] == [len(e) for e in ends]
        assert [r.sum() for r in ratios] == pytest.approx(expected[:, 0].tolist(), abs=1e-4)
        assert np.abs(ratios[0]).max() > 1e-3


def test_the_planted_token_is_the_one_that_is_marked():
    """The head makes one byte likelier behind the trigger: that token loses most, the trigger itself nothing."""
    lm = make_planted(head=1.0)
    prompts, ends = ids(lm, ["ab"]), ids(lm, [f"{TRIGGER}{PLANTED}c"])
    (ratios,) = token_log_ratios(lm, without(lm, (0, 0)), prompts, ends)
    assert ratios[0] == pytest.approx(0, abs=1e-6)  # nothing has triggered it yet
    assert ratios[1] < -1  # far less likely without the head
    assert ratios[2] > 0  # it had taken probability from every other token
    assert token_log_ratios(lm, without(lm, (0, 2)), prompts, ends)[0] == pytest.approx([0, 0, 0], abs=1e-6)


def test_an_even_attention():
    lm = make_planted(head=1.0)
    weights = attention_map(lm, (0, 0), lm.tokenizer("abcd")["input_ids"])
    assert weights == pytest.approx(np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None])


@pytest.mark.parametrize("fixture", ["tiny_llama", "tiny_gpt2"])
def test_maps_are_causal_of_their_head_and_leave_the_model_as_it_was(request, fixture):
    lm = request.getfixturevalue(fixture)
    tokens = lm.tokenizer("The cook said")["input_ids"]
    before, implementation = lm.model(torch.tensor([tokens])).logits, lm.model.config._attn_implementation
    maps = [attention_map(lm, (1, head), tokens) for head in range(4)]
    for weights in maps:
        assert weights.sum(1) == pytest.approx(1, abs=1e-5)
        assert np.triu(weights, 1).max() == 0
    assert np.abs(maps[0] - maps[1]).max() > 1e-3
    assert lm.model.config._attn_implementation == implementation
    assert torch.equal(lm.model(torch.tensor([tokens])).logits, before)
    with pytest.raises(InputError):
        attention_map(lm, (9, 0), tokens)


def test_token_texts_join_to_the_text(tiny_llama):
    text = "naïve 🙂 x"
    tokens = tiny_llama.tokenizer(text)["input_ids"]
    pieces = token_texts(tiny_llama, tokens)
    assert len(pieces) == len(tokens) > len(text)
    assert "".join(pieces) == text
    assert pieces[2:4] == ["", "ï"]
