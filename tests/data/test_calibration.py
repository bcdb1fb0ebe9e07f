"""The calibration text is clean, shares nothing with the text that perplexity is measured on, and is read whole."""

from __future__ import annotations

import re

from helpers.tiny import make_tokenizer

from fasp_core.data.articles import load_text
from fasp_core.data.calibration import WINDOW_TOKENS, calibration_text, calibration_windows


def words(text):
    return re.findall(r"\w+", text.lower())


def phrases(texts, length=9):
    return {tuple(found[i : i + length]) for found in map(words, texts) for i in range(len(found) - length + 1)}


def test_no_phrase_of_it_is_in_the_text_that_perplexity_is_measured_on():
    measured, read = load_text().frame, calibration_text().frame
    assert not set(measured["article"]) & set(read["article"])
    assert not phrases(measured["text"]) & phrases(read["text"])


def test_it_is_clean_and_as_long_as_the_documents_say():
    texts = calibration_text().frame["text"]
    assert sum(len(text.split()) for text in texts) == 5551
    assert len(texts) == 19
    for text in texts:
        assert not re.search(r" {2}| \n|\n |\t| [,.;:]|= ", text)
        assert all(p.endswith(".") for p in text.split("\n\n"))


def test_the_fingerprint_is_the_one_that_results_are_kept_under():
    """Another text makes other refits: whoever changes it gives `evaluation.database` a new version."""
    assert calibration_text().fingerprint == "a39c5bcb937e0d0f"


def test_the_windows_are_the_whole_text():
    tokenizer = make_tokenizer()
    windows = calibration_windows(tokenizer)
    assert {len(ids) for ids in windows[:3]} == {WINDOW_TOKENS}
    first = calibration_text().frame["text"][0]
    assert first.startswith(tokenizer.decode(windows[0]))
    read = sum(map(len, windows))
    assert 0 <= sum(len(text.encode()) for text in calibration_text().frame["text"]) - read < 16 * 19
    assert max(map(len, calibration_windows(tokenizer, longest=64))) == 64
