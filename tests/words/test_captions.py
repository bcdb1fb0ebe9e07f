"""The sentences beside the charts: each says what its numbers allow, and no more."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fasp_core.captions import (
    change_verdict,
    describe_reliability,
    heads_by_layer,
    heatmap_alt,
    heatmap_caption,
    selection_summary,
)
from fasp_core.estimates import Estimate


def test_the_map_caption_counts_what_is_clipped_and_what_is_certain():
    values = np.array([100.0, *np.linspace(0.01, 0.99, 99)]).reshape(10, 10)
    caption = heatmap_caption(values, np.full((10, 10), 0.2525), 0.5)
    assert caption.startswith("Colours end at ±0.99, 1 head lies beyond.")
    # 1.96 × 0.2525 = 0.495, so 0.50 … 0.99 and 100 differ from zero: 51 heads
    assert "51 of 100 heads differ from zero" in caption
    assert "about 5 would by chance alone" in caption
    assert caption.endswith("Reliability of their order: 0.50.")


def test_without_errors_the_caption_claims_nothing():
    assert "No errors are known" in heatmap_caption(np.ones((2, 2)), np.full((2, 2), np.nan))


def test_the_text_alternative_names_the_extreme_heads():
    values = np.array([[0.0, 2.0], [-1.0, np.nan]])
    text = heatmap_alt(values, np.full((2, 2), 0.5), "z_ppl")
    assert "2 layers by 2 heads" in text
    assert "highest +2.0 ± 0.5 at layer 0, head 1" in text
    assert "lowest −1.0 ± 0.5 at layer 1, head 0" in text


@pytest.mark.parametrize(
    ("reliability", "words"),
    [(0.95, "hardly change"), (0.75, "stay near the top"), (0.5, "would change"), (0.1, "noise"), (-0.2, "noise"),
     (None, "unknown"), (math.nan, "unknown")],
)  # fmt: skip
def test_reliability_in_words(reliability, words):
    assert words in describe_reliability(reliability)


def test_a_selection_in_words():
    assert selection_summary(27, 81, 270) == "27 of 270 heads pruned, 81 protected, 162 kept"
    assert heads_by_layer([(3, 5), (0, 2), (3, 0)]) == [(0, "2"), (3, "0, 5")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Estimate(-0.06, 0.01, 9), "Bias fell by 0.040 to 0.080"),
        (Estimate(0.06, 0.01, 9), "Bias rose by 0.040 to 0.080"),
        (Estimate(0.01, 0.01, 9), "Bias may not have changed: 95\u00a0% interval −0.010 to +0.030"),
        (Estimate(0.0, 0.0, 9), "Bias did not change."),
        (Estimate(0.5, math.nan, 1), "Bias: too few samples yet to tell."),
    ],
)
def test_a_change_is_claimed_only_when_its_interval_leaves_out_zero(change, words):
    assert change_verdict("Bias", change).startswith(words)
