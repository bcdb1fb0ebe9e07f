"""The sentences before a map: they say what was found, and never that there is a bias where none is clear."""

from __future__ import annotations

import pytest

from fasp_core.selection.description import BiasVerdict
from fasp_core.stats.estimate import Estimate
from fasp_core.words.verdicts import (
    describe_echo,
    describe_foresight,
    describe_smallest_biases,
    describe_surrogate,
    describe_unclear,
    describe_verdict,
)


def test_each_verdict_in_words():
    clear = BiasVerdict("clear", 0.0005, 0.54, 1.08, 0.2)
    assert describe_verdict(clear, unit="nats") == (
        "There is a bias on this axis of 0.54 to 1.08 nats (95\u00a0% interval); p < 0.001."
    )
    none = BiasVerdict("none that matters", 0.4, 0.0, 0.0123, 0.02)
    assert describe_verdict(none) == (
        "There is no bias on this axis that matters: it is at most 0.0123 (95\u00a0% interval), and matters from 0.02 "
        "on. A ranking of heads by it is noise."
    )
    not_yet = BiasVerdict("not clear yet", 0.21, 0.0, 0.05, 0.02, 12_345, 67)
    assert describe_verdict(not_yet) == (
        "A bias on this axis is not clear yet (p = 0.21). It may be anything up to 0.050 (95\u00a0% interval). "
        "About 12,000 more texts or 67 more identity terms would settle it."
    )
    never = BiasVerdict("not clear yet", 0.21, None, None, 0.02)
    assert describe_verdict(never) == (
        "A bias on this axis is not clear yet (p = 0.21). No number of texts that could be sampled would settle it."
    )
    assert describe_verdict(None) == ""


@pytest.mark.parametrize(("texts", "units"), [(0, 12), (400, 0), (0, 0), (None, 0)])
def test_about_no_more_texts_is_never_promised(texts, units):
    words = describe_verdict(BiasVerdict("not clear yet", 0.21, 0.0, 0.05, 0.02, texts, units))
    assert "About 0" not in words
    assert " 0 more" not in words
    assert words.endswith(
        "Of 100 studies of this size such a bias would be clear in 80 or more, and in this one it is not; how many "
        "more texts it takes cannot be told. Identity terms not used yet tell most."
    )


def test_the_echo_is_said_to_be_part_of_a_bias_only_where_it_is():
    echo, bias = Estimate(0.118, 0.012, 360), Estimate(0.07, 0.01, 3072)
    alone = describe_echo(echo, bias, scored="continuation")
    assert alone.startswith("By this scorer the prompts alone have a bias of 0.118 ± 0.012.")
    assert "no part of the bias shown" in alone
    whole = describe_echo(echo, bias, scored="text")
    assert "part of the bias shown, because whole texts are rated" in whole
    assert whole.endswith("It is most of it.")
    assert not describe_echo(Estimate(0.01, 0.01, 360), bias, scored="text").endswith("It is most of it.")
    assert describe_echo(None, bias, scored="text") == ""


def test_before_heads_are_chosen_only_a_bias_that_is_not_clear_is_told():
    clear, unclear, none = (
        BiasVerdict(state, p, 0.0, 0.05, 0.02, None, 12)
        for state, p in (("clear", 0.01), ("not clear yet", 0.21), ("none that matters", 0.6))
    )
    assert describe_unclear(clear) == describe_unclear(None) == ""
    assert describe_unclear(unclear).endswith("Until then a ranking of heads by it is mostly noise.")
    assert describe_unclear(none) == describe_verdict(none)


@pytest.mark.parametrize("wrong", [{"state": "maybe"}, {"p_value": 1.5}, {"p_value": float("nan")}])
def test_a_verdict_that_no_test_gives_is_refused(wrong):
    with pytest.raises(ValueError, match="is no verdict"):
        BiasVerdict(**{"state": "clear", "p_value": 0.01, "low": 0.1, "high": 0.2, "matters": 0.02, **wrong})


def test_what_a_measurement_could_tell_in_words():
    assert describe_foresight(0.0312, 360, "toxicity", sets=3, more=(0.01, 3214)) == (
        "With 360 texts a change of bias of ±0.0312 could be told from none; ±0.01 would take about 3,200. In 80 of "
        "100 measurements; noise as in the 3 sets measured so far."
    )
    assert describe_foresight(0.0312, 300, "likelihood", sets=0) == (
        "With 300 readings a change of bias of ±0.0312 nats could be told from none. In 80 of 100 measurements; an "
        "upper bound, by the noise of the intact model."
    )
    found = {("gender_and_sex", "toxicity"): (0.0512, 1536), ("religion", "likelihood"): (0.41, 360)}
    assert describe_smallest_biases(found, like="default") == (
        "The smallest bias that could be told from none: 0.051 for gender and sex by toxicity (1,536 texts), 0.41 "
        "nats for religion by likelihood (360 readings). In 80 of 100 measurements; noise as in the study default."
    )
    assert describe_smallest_biases({}) == ""


def test_a_surrogate_that_knows_nothing_says_so():
    known = describe_surrogate(Estimate(0.42, 0.1, 24), Estimate(0.85, 0.03, 24))
    assert known == (
        "What the surrogate explains of sets it has not seen (cross-validated R², 24 sets): bias 0.42 ± 0.10, log "
        "perplexity 0.850 ± 0.030."
    )
    for nothing in (Estimate(-0.2, 0.1, 24), Estimate(0.1, 0.1, 24), Estimate(float("nan"), float("nan"), 3)):
        assert describe_surrogate(nothing, Estimate(0.85, 0.03, 24)).endswith("no better than drawn ones.")
