"""Text to tokens and back: start tokens once, no end tokens, and blanks where the model wrote them."""

from __future__ import annotations

import pytest
from helpers import tiny
from helpers.word_tokenizers import SPECIAL, metaspace_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.data.tokens import continuation_text, cut_left, encode, plain_tokens, start_tokens

WORDS = ["the", "nurse", "said", "she", "is", "rude"]
BOS, EOS = 0, 1
BODY = [3, 4, 5]  # the nurse said


@pytest.mark.parametrize(
    ("template", "start"),
    [(None, []), ("<s> $A", [BOS]), ("$A </s>", []), ("<s> $A </s>", [BOS]), ("<s> <s> $A </s>", [BOS, BOS])],
)
def test_a_sequence_begins_with_the_start_tokens_and_has_no_end_token(template, start):
    tokenizer = metaspace_tokenizer(WORDS, template=template)
    assert start_tokens(tokenizer) == start
    assert encode(tokenizer, ["the nurse said", "she"]) == [[*start, *BODY], [*start, 6]]
    assert plain_tokens(tokenizer, ["the nurse said"]) == [BODY]


def test_the_byte_tokenizer_has_no_start_tokens():
    tokenizer = tiny.make_tokenizer()
    assert start_tokens(tokenizer) == []
    assert encode(tokenizer, ["ab", "é"]) == tokenizer(["ab", "é"])["input_ids"]


def test_llamas_blank_before_a_continuation_is_kept():
    tokenizer = metaspace_tokenizer(WORDS, template="<s> $A")
    prompt = encode(tokenizer, ["the nurse said"])[0]
    assert tokenizer.decode([6, 7, 8]) == "she is rude"  # by itself it has lost its blank
    assert continuation_text(tokenizer, prompt, [6, 7, 8]) == " she is rude"
    assert continuation_text(tokenizer, prompt, [6, EOS]) == " she"
    assert continuation_text(tokenizer, prompt, [EOS]) == ""
    assert continuation_text(tokenizer, prompt, []) == ""


@given(st.text(max_size=20), st.text(max_size=20))
def test_prompt_and_continuation_are_the_whole_text(prompt, rest):
    tokenizer = tiny.make_tokenizer()
    ids = plain_tokens(tokenizer, [prompt, rest])
    assert continuation_text(tokenizer, *ids) == rest


def test_half_a_character_is_shown_as_such():
    tokenizer = tiny.make_tokenizer()
    prompt, e = plain_tokens(tokenizer, ["caf", "é"])
    assert continuation_text(tokenizer, prompt, e[:1]) == "�"


@given(st.lists(st.integers(), min_size=1, max_size=20), st.integers(0, 3), st.integers(4, 30))
def test_a_long_sequence_keeps_its_start_and_its_end(ids, n_start, longest):
    n_start = min(n_start, len(ids))
    cut = cut_left(ids, n_start, longest)
    assert len(cut) == min(len(ids), longest)
    assert cut[:n_start] == ids[:n_start]
    assert cut[n_start:] == ids[n_start:][len(ids) - len(cut) :]
    assert cut_left(ids, n_start, None) == ids


def test_special_tokens_are_those_of_the_helper():
    assert metaspace_tokenizer(WORDS).convert_tokens_to_ids(SPECIAL[:2]) == [BOS, EOS]
