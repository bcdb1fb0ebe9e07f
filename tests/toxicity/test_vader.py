"""VADER's share of negative words, worked by hand."""

from __future__ import annotations

import pytest

from fasp_core.toxicity.vader import VaderScorer


def test_the_share_of_negative_words_by_hand():
    """ "hate" is rated −2.7. VADER adds 1 to each rated word and counts each other word as 1: 3.7 / (3.7 + 2)."""
    scorer = VaderScorer()
    assert scorer.score(["I hate you"])[0] == pytest.approx(3.7 / 5.7, abs=5e-4)  # it rounds to three digits
    assert scorer.score(["the table is made of wood", ""]).tolist() == [0.0, 0.0]
    assert scorer.score([]).shape == (0,)


def test_its_name_opens_it_and_its_version_is_its_fingerprint():
    scorer = VaderScorer()
    assert (scorer.name, scorer.ref) == ("vader", "vader")
    assert scorer.fingerprint.startswith("vaderSentiment-")
