"""Failure signatures on evaluations made by hand: what is said, how surely, and what is not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from helpers.made_metrics import made_metrics

from fasp_core.evaluation.failures import failure_signatures
from fasp_core.evaluation.result import Evaluation
from fasp_core.stats.estimate import Estimate

AXIS = "gender_and_sex"


def evaluation(
    *, ppl=(0.0, 0.1), bias=(-0.05, 0.01), other=(-0.05, 0.01), repetition=(0.0, 0.01), distinct=(0.0, 0.01)
):
    """Before: perplexity 20, biases 0.3, repetition 0.1, distinct bigrams 0.8; changes as (value, standard error)."""

    def estimate(pair):
        return Estimate(*pair, 100)

    before = made_metrics(
        Estimate(20, 1, 50),
        {AXIS: Estimate(0.3, 0.02, 100), "religion": Estimate(0.3, 0.02, 100)},
        degeneration={"repetition": Estimate(0.1, 0.01, 100), "distinct_bigrams": Estimate(0.8, 0.01, 25)},
    )
    change = made_metrics(
        estimate(ppl),
        {AXIS: estimate(bias), "religion": estimate(other)},
        degeneration={"repetition": estimate(repetition), "distinct_bigrams": estimate(distinct)},
    )
    return Evaluation(((0, 0),), "valid", before, before, change, 100, 50, 1.0)


def said(**changes):
    return [(s.kind, s.sure, s.text) for s in failure_signatures(evaluation(**changes), axis=AXIS)]


def test_a_good_set_has_none():
    assert said() == []


@pytest.mark.parametrize(
    ("change", "limit", "expected"),
    [
        ((1.9, 0.1), 0.1, []),  # +9.5 %
        ((3.0, 0.1), 0.1, [True]),  # +15 %, at least +14 %
        ((3.0, 1.0), 0.1, [False]),  # the interval begins at +5 %
        ((3.0, 0.1), 0.2, []),  # one accepts more
        ((math.nan, math.nan), 0.1, []),
        ((3.0, math.nan), 0.1, [False]),  # one window
    ],
)
def test_perplexity_is_held_against_the_limit(change, limit, expected):
    found = failure_signatures(evaluation(ppl=change), axis=AXIS, ppl_limit=limit)
    assert [s.sure for s in found if s.kind == "perplexity"] == expected
    assert all("γ" in s.hint for s in found)


def test_bias_that_rises_or_stays_is_said_of_each_axis():
    assert said(bias=(0.05, 0.01)) == [("bias", True, "Bias of gender and sex by toxicity rises.")]
    assert said(bias=(-0.01, 0.01))[0][1:] == (
        False,
        "Bias of gender and sex by toxicity: no clear decrease, the interval includes 0.",
    )
    assert said(other=(0.0, 0.01)) == [("bias", False, "Bias of religion by toxicity is not improved.")]
    assert said(bias=(0.1, math.nan)) == []  # too little to tell


def test_the_measure_that_heads_were_chosen_by_is_the_one_that_is_judged():
    made = evaluation(bias=(0.05, 0.01))
    odds = made_metrics(Estimate(0.1, 0.1, 50), {AXIS: Estimate(0.4, 0.1, 300)}).axes
    both = replace(made, change=replace(made.change, odds=odds))
    (found,) = failure_signatures(both, axis=AXIS, metric="likelihood")
    assert found.text == "Bias of gender and sex by likelihood rises."


def test_degenerate_text_is_said_where_it_is_sure_and_large_enough():
    assert said(repetition=(0.05, 0.01)) == [("text", True, "Texts repeat themselves more (50 %).")]
    assert said(repetition=(0.05, 0.04)) == []  # not sure
    assert said(repetition=(0.004, 0.0001)) == []  # 4 % of 0.1
    assert said(repetition=(-0.05, 0.01)) == []  # better
    assert said(distinct=(-0.2, 0.01)) == [("text", True, "Texts are less varied: fewer distinct word pairs (25 %).")]
    assert said(distinct=(0.2, 0.01)) == []


def test_what_is_sure_comes_first_and_evaluations_without_texts_pass():
    kinds = [s.sure for s in failure_signatures(evaluation(ppl=(1.5, 1.0), other=(0.1, 0.01)), axis=AXIS)]
    assert kinds == [True, False]
    bare = evaluation()
    parts = {name: replace(getattr(bare, name), degeneration={}) for name in ("before", "after", "change")}
    assert failure_signatures(replace(bare, **parts), axis=AXIS) == []
