"""Tokens marked by their log-ratio: all of the text, escaped, the strongest where the head does most."""

from __future__ import annotations

import re
from html import unescape

from fasp_core.words.text_evidence import MarkedText, TextEvidence, largest_ratio, marked_tokens

TEXT = TextEvidence(["A ", "<b>", " x", "\ny", ""], [-0.5, 0.25, 0.0], "women", 0.5, [[1.0]])


def test_every_token_is_there_as_text_with_its_number():
    page = marked_tokens(TEXT, largest_ratio([TEXT]))
    assert unescape(re.sub(r"<[^>]*>", "", page)) == "A <b> x\ny"
    assert "<b>" not in page
    assert re.findall(r'title="([^"]*)"', page) == ["−0.500 nats", "+0.250 nats", "0.000 nats"]
    assert re.findall(r"rgba\(([^)]*)\)", page) == ["194, 87, 12, 0.60", "76, 120, 168, 0.30", "194, 87, 12, 0.00"]


def test_nothing_changed_is_not_marked():
    still = MarkedText(["a", "b"], [0.0])
    assert largest_ratio([still]) == largest_ratio([]) == 0
    assert re.findall(r"rgba\(([^)]*)\)", marked_tokens(still, 0.0)) == ["194, 87, 12, 0.00"]
    assert still.n_prompt == 1
