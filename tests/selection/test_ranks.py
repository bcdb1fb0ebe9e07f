"""One head or a set of heads in numbers, against sums and ranks worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fasp_core.head_scores import HeadScores
from fasp_core.summaries import head_lines, predict_effect, strongest_head


def make_scores(z_ppl, z_bias, se=0.0, meta=None) -> HeadScores:
    n = len(z_ppl)
    frame = pd.DataFrame({
        "layer": np.arange(n) // 2, "head": np.arange(n) % 2, "z_ppl": z_ppl, "z_ppl_se": se, "z_bias.a": z_bias,
        "z_bias_se.a": se,
    })  # fmt: skip
    return HeadScores(frame=frame, n_layers=n // 2, heads_per_layer=2, meta=meta or {})


def test_the_lines_of_a_head_are_its_scores_intervals_and_ranks():
    scores = make_scores([5.0, 1.0, 9.0, 2.0], [0.1, 0.4, 0.3, 0.2], se=0.01)
    ppl, bias = head_lines(scores, (1, 0))
    assert (ppl.axis, ppl.value, ppl.rank) == (None, 9.0, 1)
    assert (bias.axis, bias.value, bias.rank) == ("a", 0.3, 2)
    assert (bias.low, bias.high) == (pytest.approx(0.2804, abs=1e-4), pytest.approx(0.3196, abs=1e-4))
    assert (bias.rank_low, bias.rank_high) == (2, 2), "ten standard errors from its neighbours"


def test_ranks_are_as_uncertain_as_their_scores():
    scores = make_scores(np.zeros(20), np.linspace(0, 0.01, 20), se=1.0)
    _, bias = head_lines(scores, (9, 1))
    assert bias.rank == 1
    assert bias.rank_high >= 18, "differences are a hundredth of the error: nearly any rank is possible"


def test_without_errors_a_rank_has_no_interval():
    _, bias = head_lines(make_scores([0.0, 0.0], [0.1, 0.2], se=np.nan), (0, 0))
    assert (bias.rank_low, bias.rank, bias.rank_high) == (2, 2, 2)
    assert np.isnan(bias.low)


def test_the_prediction_adds_up_single_heads():
    scores = make_scores([1.0, 2.0, 4.0, 8.0], [0.1, 0.2, -0.4, 0.8], meta={"base_ppl": 20.0, "base_bias": {"a": 1.0}})
    prediction = predict_effect(scores, [(0, 1), (1, 0)], "a")
    assert (prediction.ppl.change, prediction.ppl.after) == (6.0, 26.0)  # without a head perplexity rises by its z_ppl
    assert prediction.bias.change == pytest.approx(0.2)  # without a head bias falls by its z_bias: −(0.2 − 0.4)
    assert prediction.bias.after == pytest.approx(1.2)


def test_a_prediction_below_zero_is_called_impossible_and_one_without_a_base_is_not():
    scores = make_scores([0.0, 0.0], [0.6, 0.6], meta={"base_bias": {"a": 1.0}})
    prediction = predict_effect(scores, [(0, 0), (0, 1)], "a")
    assert prediction.bias.impossible
    assert prediction.ppl.after is None
    assert not prediction.ppl.impossible


def test_the_strongest_head_passes_over_heads_that_were_not_measured():
    assert strongest_head(make_scores([0.0] * 4, [np.nan, 0.2, 0.3, 0.3]), "a") == (1, 0)
