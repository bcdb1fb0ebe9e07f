"""What single-head scores add up to for a set of heads, against sums worked by hand."""

from __future__ import annotations

import pytest
from helpers.made_scores import AXIS, make_scores

from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.prediction import predict_effect


def test_the_prediction_adds_up_single_heads():
    scores = make_scores(
        [1.0, 2.0, 4.0, 8.0], [0.1, 0.2, -0.4, 0.8], 2, meta={"base_ppl": 20.0, "base_bias": {AXIS: 1.0}}
    )
    prediction = predict_effect(scores, [(0, 1), (1, 0)], AXIS)
    assert (prediction.ppl.change, prediction.ppl.after) == (6.0, 26.0)  # without a head perplexity rises by its z_ppl
    assert prediction.bias.change == pytest.approx(0.2)  # without a head bias falls by its z_bias: −(0.2 − 0.4)
    assert prediction.bias.after == pytest.approx(1.2)


def test_scores_relative_to_the_median_head_are_not_added_up():
    scores = make_scores([1.0, 2.0], [0.1, 0.2], 2)
    relative = HeadScores(scores.frame.assign(ppl_without_head=[21.0, 22.0]), 1, 2)
    assert predict_effect(relative, [(0, 0)], AXIS) is None


def test_a_prediction_below_zero_is_called_impossible_and_one_without_a_base_is_not():
    scores = make_scores([0.0, 0.0], [0.6, 0.6], 2, meta={"base_bias": {AXIS: 1.0}})
    prediction = predict_effect(scores, [(0, 0), (0, 1)], AXIS)
    assert prediction.bias.impossible
    assert prediction.ppl.after is None
    assert not prediction.ppl.impossible
