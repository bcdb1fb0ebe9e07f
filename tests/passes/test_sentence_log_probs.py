"""Log-probabilities of sentences against plain forward passes, and what is scored of a pair worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.planted_model import make_planted
from helpers.tiny import VOCAB_SIZE
from helpers.word_tokenizers import metaspace_tokenizer

from fasp_core.data.passages import Passage
from fasp_core.errors import Cancelled, InputError
from fasp_core.passes.sentence_log_probs import TokenScores, last_words, pair_log_probs, token_scores

TEXTS = ["The cook said hello.", "A", "", "They were there, and then they left.", "The cook"]


@pytest.mark.parametrize("fixture", ["tiny_llama", "tiny_gpt2"])
def test_they_are_those_of_plain_forward_passes(request, fixture):
    lm = request.getfixturevalue(fixture)
    for text, scores in zip(TEXTS, token_scores(lm, TEXTS), strict=True):
        ids = lm.tokenizer(f"\n{text}")["input_ids"]  # one token a byte
        with torch.no_grad():
            log_p = lm.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = [float(log_p[t, ids[t + 1]]) for t in range(len(ids) - 1)]
        assert scores.tokens == ids[1:]
        assert scores.log_probs == pytest.approx(expected, abs=1e-4)
        assert scores.likeliest.tolist() == [int(log_p[t].argmax()) == ids[t + 1] for t in range(len(ids) - 1)]


def test_a_start_token_is_there_once(tiny_llama, monkeypatch):
    """Where the tokenizer puts one itself, that one; it is not scored."""
    tokenizer = metaspace_tokenizer(template="<s> $A")
    tokenizer.padding_side = "left"
    monkeypatch.setitem(tiny_llama.__dict__, "tokenizer", tokenizer)
    scores = token_scores(tiny_llama, ["w1 w2"])[0]
    assert scores.tokens == tokenizer("w1 w2", add_special_tokens=False)["input_ids"]
    assert len(scores.log_probs) == 2


def test_a_text_beyond_the_context_is_refused_and_a_stop_obeyed(tiny_llama):
    with pytest.raises(InputError, match="has 600 tokens, more than the 512 that tiny-llama reads"):
        token_scores(tiny_llama, ["a" * 600])
    with pytest.raises(Cancelled):
        token_scores(tiny_llama, ["a"], stop=lambda: True)


def made(tokens, log_probs):
    return TokenScores(tokens, np.array(log_probs, float), np.zeros(len(tokens), bool))


def test_what_is_scored_of_a_pair():
    """The wives cook well : The men cook well; tokens 1 is shared before the difference, 4 and 5 behind it."""
    one, other = made([1, 2, 3, 4, 5], [-1, -2, -4, -8, -16]), made([1, 9, 4, 5], [-1, -32, -64, -128])
    assert pair_log_probs(one, other, "shared") == (-24, -192)
    assert pair_log_probs(one, other, "differing") == (-6, -32)
    assert pair_log_probs(one, other, "whole") == (-31, -225)
    assert pair_log_probs(one, other, "mean") == (-31 / 5, -225 / 4)
    # The difference comes last: nothing is shared behind it.
    assert pair_log_probs(made([1, 2], [-1, -2]), made([1, 3], [-1.5, -2]), "shared") == (0, 0)


def test_a_planted_preference_is_found_to_the_digit():
    """p(z | W) has a logit of 2 more than all other bytes; every other byte follows evenly."""
    lm = make_planted({("W", "z"): 2.0})
    even, planted = -math.log(VOCAB_SIZE), 2 - math.log(VOCAB_SIZE - 1 + math.exp(2))
    others = -math.log(VOCAB_SIZE - 1 + math.exp(2))
    one, other = token_scores(lm, ["Wz.", "Mz."])
    assert pair_log_probs(one, other, "shared") == pytest.approx((planted + even, 2 * even), abs=1e-5)
    assert pair_log_probs(*token_scores(lm, ["Wa.", "Ma."]), "shared") == pytest.approx(
        (others + even, 2 * even), abs=1e-5
    )


def test_a_model_that_ignores_the_differing_word_has_no_preference():
    lm = make_planted({("c", "d"): 3.0, (" ", "o"): 1.0})
    for more, less in (("Women cook odd meals", "Men cook odd meals"), ("a b cd", "xyz b cd")):
        a, b = pair_log_probs(*token_scores(lm, [more, less]), "shared")
        assert a == pytest.approx(b, abs=1e-5)


def test_last_words_are_named_where_every_token_is_the_likeliest():
    """The model spells "it is red." letter by letter, and would never begin with "b"."""
    lm = make_planted({(a, b): 5.0 for a, b in ("s ", " r", "re", "ed", "d.")} | {(" ", "b"): 1.0})
    text = "it is red. it is bed."
    passage = Passage(text, ((6, 9), (17, 20)))
    assert [passage.text[a:b] for a, b in passage.asked] == ["red", "bed"]
    assert last_words(lm, passage, token_scores(lm, [text])[0]) == (1, 2)
    constant = make_planted()
    assert last_words(constant, passage, token_scores(constant, [text])[0])[0] == 0
