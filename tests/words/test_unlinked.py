"""Addresses in text look the same and are no links."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.words.unlinked import JOINER, unlinked

# What GitHub's Markdown, and streamlit's, takes for a link by itself (GFM, section 6.9).
LINK = re.compile(r"(?i)(https?://|ftp://|www\.|[\w.+-]+@[\w-]+\.|mailto:|xmpp:)")
PARTS = ("http", "https", "HTTPS", "ftp", ":", "//", "www", "WWW", ".", "a", "@", "mailto", "xmpp", " ", "y.org", "/")


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_nothing_is_left_that_becomes_a_link_and_nothing_is_lost(text):
    assert not LINK.search(unlinked(text))
    assert unlinked(text).replace(JOINER, "") == text


@pytest.mark.parametrize("text", ["a.b", "3:4", "wwwx", "12 % of 3", "", "layer 3, head 5"])
def test_other_text_stays_as_it_is(text):
    assert unlinked(text) == text
