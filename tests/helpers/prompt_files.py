"""Prompt files, sound, broken or made at random: they are loaded whole or refused in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import strategies as st

from fasp_core.data.prompts import load_prompts
from fasp_core.errors import InputError

cell = st.text(st.characters(codec="utf-8"), max_size=12)
broken = st.sampled_from(["\ud800", "a\udfffb", "\0", "\r\n"])
word = st.sampled_from(["prompt", "axis", "group", "split", "descriptor", "valid", "test", "a", "b", "", " "])
values = st.recursive(
    st.none() | st.booleans() | st.floats() | word | cell | broken,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(word | cell, inner, max_size=3),
    max_leaves=12,
)


def refused(path: Path, message: str) -> None:
    """One line that names the file and says this."""
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_prompts(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value) or str(path.parent) in str(caught.value) or "cannot name" in str(caught.value)


def loaded_or_refused(path: Path) -> None:
    try:
        refusal, prompts = None, load_prompts(path)
    except InputError as error:
        refusal = str(error)
    if refusal is None:
        assert prompts.axes
        assert (prompts.frame.groupby("axis")["group"].nunique() >= 2).all()
    else:
        assert "\n" not in refusal
        assert path.name in refusal or path.parent.name in refusal or "cannot name an axis" in refusal
