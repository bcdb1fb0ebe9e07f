"""Text to tokens and back: the one way for prompts, windows and continuations.

Tokenizers put special tokens around each text: a start token (Llama), an end token, both or neither. A sequence that
a model reads begins with the start tokens, once. It never holds the end tokens, behind which a model starts a new text.

What a model wrote is decoded together with its prompt and cut where the prompt ends. Decoded by itself it can lose the
blank between the two: Llama's tokenizers drop the blank at the start of a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Protocol


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is used here."""

    @property
    def all_special_ids(self) -> list[int]: ...

    def __call__(self, text: Any, *, add_special_tokens: bool = True) -> Any: ...

    def decode(self, token_ids: list[int], skip_special_tokens: bool = False) -> Any: ...


def start_tokens(tokenizer: Tokenizer) -> list[int]:
    """The special tokens that the tokenizer puts before a text."""
    whole, plain = tokenizer("a")["input_ids"], plain_tokens(tokenizer, ["a"])[0]
    places = range(len(whole) - len(plain) + 1) if plain else ()
    found = next((start for start in places if whole[start : start + len(plain)] == plain), None)
    if found is None:  # "a" is tokenized otherwise with special tokens around it
        return list(takewhile(set(tokenizer.all_special_ids).__contains__, whole))
    return list(whole[:found])


def plain_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, without special tokens around them."""
    return tokenizer(list(texts), add_special_tokens=False)["input_ids"]


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text as a model reads it: start tokens, then the text."""
    start = start_tokens(tokenizer)
    return [[*start, *ids] for ids in plain_tokens(tokenizer, texts)]


def cut_left(ids: list[int], n_start: int, longest: int | None) -> list[int]:
    """At most `longest` tokens: the first `n_start`, which begin every sequence, and the last of the others."""
    if longest is None or len(ids) <= longest:
        return ids
    return [*ids[:n_start], *ids[len(ids) - max(0, longest - n_start) :]]


def continuation_text(tokenizer: Tokenizer, prompt: Sequence[int], continuation: Sequence[int]) -> str:
    """The text that `continuation` adds to `prompt` (token ids), without special tokens."""
    before = tokenizer.decode(list(prompt), skip_special_tokens=True)
    whole = tokenizer.decode([*prompt, *continuation], skip_special_tokens=True)
    shared = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(before, whole, strict=False)))
    return whole[shared:]
