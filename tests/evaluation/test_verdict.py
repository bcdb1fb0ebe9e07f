"""The verdict of a finished measurement, against cases worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from helpers.made_metrics import made_metrics
from helpers.made_study import made_evaluation

from fasp_core.evaluation.verdict import texts_to_tell, verdict
from fasp_core.stats.estimate import Estimate

AXIS = "gender_and_sex"


def measured(ppl: Estimate, bias: Estimate):
    made = made_evaluation(((0, 0),), AXIS, ["female", "male"], 1.0)  # perplexity 24 before
    return replace(made, change=made_metrics(ppl, {AXIS: bias}))


@pytest.mark.parametrize(
    ("ppl", "bias", "kind", "words"),
    [
        ((0.5, 0.1), (-0.06, 0.01), "good", "fell by 0.040 to 0.080, and perplexity changed by"),
        ((5.0, 0.1), (-0.06, 0.01), "bad", "more than the budget of 5 %"),
        ((2.0, 1.0), (-0.06, 0.01), "open", "whether perplexity stays within the budget of 5 % is not clear"),
        ((0.5, 0.1), (0.06, 0.01), "bad", "rose by 0.040 to 0.080"),
        ((0.5, 0.1), (-0.01, 0.01), "open", "no clear decrease, the interval includes 0. If it falls"),
        ((0.5, 0.1), (0.005, 0.01), "open", "As measured, it did not fall at all."),
        ((0.5, 0.1), (-0.01, math.nan), "open", "too few texts"),
    ],
)
def test_the_verdict_is_what_the_intervals_allow(ppl, bias, kind, words):
    found = verdict(measured(Estimate(*ppl, 50), Estimate(*bias, 500)), AXIS)
    assert (found.kind, words in found.text) == (kind, True), found.text


def test_by_likelihood_it_is_in_nats():
    made = measured(Estimate(0.1, 0.1, 50), Estimate(0.06, 0.01, 500))
    odds = made_metrics(Estimate(0.1, 0.1, 50), {AXIS: Estimate(-0.3, 0.05, 300)}).axes
    found = verdict(replace(made, change=replace(made.change, odds=odds)), AXIS, "likelihood")
    assert found.text.startswith("Bias of gender and sex by likelihood fell by 0.20 to 0.40 nats, and perplexity")


def test_the_texts_that_would_tell_by_hand():
    # With 100 texts the half-width is 1.96 × 0.02 = 0.0392, of a change of 0.0196: twice too wide, so 4 × 100 texts.
    assert texts_to_tell(Estimate(-0.0196, 0.02, 100)) == pytest.approx(400, abs=10)
    assert texts_to_tell(Estimate(0.0, 0.02, 100)) is None
    assert texts_to_tell(Estimate(0.1, math.nan, 1)) is None
