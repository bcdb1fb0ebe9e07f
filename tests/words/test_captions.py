"""The sentences beside the charts: each says what its numbers allow, and no more."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fasp_core.stats.estimate import Estimate
from fasp_core.stats.stability import TopOverlap
from fasp_core.words.captions import (
    change_verdict,
    describe_intact,
    describe_noise,
    describe_ratio,
    describe_reliability,
    describe_remedy,
    describe_top,
    heatmap_alt,
    heatmap_caption,
    selection_summary,
)


def test_the_map_caption_counts_what_is_clipped_and_what_is_certain():
    values = np.array([100.0, *np.linspace(0.01, 0.99, 99)]).reshape(10, 10)
    caption = heatmap_caption(values, np.full((10, 10), 0.2525), 0.5)
    assert caption.startswith("Colours end at ±0.99, 1 head lies beyond.")
    # 1.96 × 0.2525 = 0.495, so 0.50 … 0.99 and 100 differ from zero: 51 heads
    assert "A dot marks the 51 of 100 heads that differ from zero" in caption
    assert "expected from noise: about 5" in caption
    assert caption.endswith("Reliability of their order: 0.50.")


def test_without_errors_the_caption_claims_nothing():
    assert "No errors are known" in heatmap_caption(np.ones((2, 2)), np.full((2, 2), np.nan))


def test_values_relative_to_the_median_head_are_not_tested_against_zero():
    caption = heatmap_caption(np.ones((2, 2)), np.full((2, 2), 0.1), 0.5, relative=True)
    assert "0 is the median head" in caption
    assert "differ from zero" not in caption


def test_the_text_alternative_names_the_extreme_heads():
    values = np.array([[0.0, 2.0], [-1.0, np.nan]])
    text = heatmap_alt(values, np.full((2, 2), 0.5), "z_ppl")
    assert "2 layers by 2 heads" in text
    assert "highest +2.0 ± 0.5 at layer 0, head 1" in text
    assert "lowest −1.0 ± 0.5 at layer 1, head 0" in text


@pytest.mark.parametrize(
    ("reliability", "words"),
    [
        (0.95, "nearly alike"),
        (0.75, "single ones change places"),
        (0.5, "not single ranks"),
        (0.1, "a different top 20"),
        (-0.2, "a different top 20"),
        (None, "unknown"),
        (math.nan, "unknown"),
    ],
)
def test_reliability_in_words(reliability, words):
    assert words in describe_reliability(reliability)


def test_a_noisy_ranking_whose_top_holds_is_not_called_noise():
    holds, luck = TopOverlap(20, 9.0, 6, 12, 2.8), TopOverlap(20, 3.0, 1, 6, 2.8)
    assert "its top is more than luck" in describe_reliability(0.18, holds)
    assert "a different top 20" in describe_reliability(0.18, luck)


def test_the_remedy_is_one_that_there_is():
    assert (
        describe_remedy(0.1, can_sample=True)
        == "A longer measurement makes it more reliable, as far as these prompts and words allow."
    )
    assert "score the model itself" in describe_remedy(0.1, can_sample=False)
    assert describe_remedy(0.9, can_sample=True) == describe_remedy(None, can_sample=False) == ""


@pytest.mark.parametrize(
    ("log_ratio", "exact", "words"),
    [
        (math.log(2), True, "2.00 times as likely without it"),
        (-math.log(2), False, "2.00 times as likely with it (first order)"),
        (14.1, False, "more than 10 times as likely without it (first order, so no exact number)"),
        (-14.1, True, "more than 1,000 times as likely with it"),
    ],
)
def test_a_ratio_ends_where_the_method_does(log_ratio, exact, words):
    assert describe_ratio(log_ratio, exact=exact) == words


def test_a_selection_in_words():
    assert selection_summary(27, 81, 270) == "27 of 270 heads pruned, 81 protected, 162 kept"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Estimate(-0.06, 0.01, 9), "Bias fell by 0.040 to 0.080"),
        (Estimate(0.06, 0.01, 9), "Bias rose by 0.040 to 0.080"),
        (Estimate(0.01, 0.01, 9), "Bias: no clear change, the 95\u00a0% interval −0.010 to +0.030 includes 0"),
        (Estimate(0.0, 0.0, 9), "Bias did not change."),
        (Estimate(0.5, math.nan, 1), "Bias: too few samples yet to tell."),
    ],
)
def test_a_change_is_claimed_only_when_its_interval_leaves_out_zero(change, words):
    assert change_verdict("Bias", change).startswith(words)


def test_the_intact_model_is_given_with_what_it_was_measured_on():
    words = describe_intact(Estimate(67.21, 3.1, 50), Estimate(0.3, 0.05, 45), "valid")
    sizes = "perplexity 67.2 ± 3.1 (50 text windows), bias by toxicity 0.30 ± 0.05 (45 texts)."
    assert words == f"**Intact model**, validation prompts: {sizes}"
    words = describe_intact(Estimate(67.21, 3.1, 50), Estimate(0.8, 0.1, 45), "valid", "likelihood")
    assert words.endswith("bias by likelihood 0.80 ± 0.10 nats (45 readings).")
    assert describe_intact(Estimate(math.nan, math.nan, 0), None, "test") == ""


def test_noise_in_words():
    clear = describe_noise(0.031, Estimate(0.2, 0.02, 100))
    assert clear == "With this many texts noise alone would give 0.031; without it the bias is 0.200 ± 0.020."
    assert "which may be none at all" in describe_noise(0.031, Estimate(0.01, 0.02, 100))
    assert describe_noise(None, None) == describe_noise(0.1, Estimate(np.nan, np.nan, 0)) == ""


def test_the_top_of_a_ranking_in_words():
    words = describe_top(TopOverlap(20, 12.4, 9, 15, 1.48))
    assert words == (
        "Of the 20 heads with the highest z_bias, about 12 would be among the top 20 of a repeat (9 to 15; "
        "expected from noise: 1.5)."
    )
    assert "(9; expected" in describe_top(TopOverlap(20, 9.0, 9, 9, 1.48))
    assert describe_top(None) == ""


def test_one_head_is_no_heads():
    assert describe_top(TopOverlap(1, 0.6, 0, 1, 0.1)).startswith("Of the 1 head with the highest z_bias")
