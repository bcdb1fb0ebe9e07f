"""Windows cover the text once."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.data.windows import token_windows


class Letters:
    """A token per letter, between the given start and end tokens."""

    def __init__(self, start=(), end=()):
        self.start, self.end = list(start), list(end)
        self.all_special_ids = [*start, *end]

    def __call__(self, text, *, add_special_tokens=True):
        if isinstance(text, list):
            return {"input_ids": [self(one, add_special_tokens=add_special_tokens)["input_ids"] for one in text]}
        ids = [ord(c) for c in text]
        return {"input_ids": [*self.start, *ids, *self.end] if add_special_tokens else ids}


special = st.lists(st.integers(0, 9), max_size=1)


@given(st.integers(1, 200), st.integers(2, 50), special, special)
def test_windows_hold_every_token_once_but_for_a_short_rest(n, length, start, end):
    articles = pd.DataFrame(
        {"article": ["x"], "split": ["valid"], "text": ["".join(chr(65 + i % 26) for i in range(n))]}
    )
    pieces = token_windows(Letters(start, end), articles, length=length)["token_ids"]
    assert all(piece[: len(start)] == start for piece in pieces)
    tokens = [token for piece in pieces for token in piece[len(start) :]]
    whole = [ord(c) for c in articles["text"][0]]
    assert tokens == whole[: len(tokens)]
    assert all(len(piece) <= length for piece in pieces)
    assert len(whole) - len(tokens) < min(16, length)
