"""Where a head stands in a ranking, against ranks worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.made_scores import AXIS, make_scores

from fasp_core.selection.ranks import head_lines, strongest_head


def test_the_lines_of_a_head_are_its_scores_intervals_and_ranks():
    scores = make_scores([5.0, 1.0, 9.0, 2.0], [0.1, 0.4, 0.3, 0.2], 2, se=0.01, ppl_se=0.01)
    ppl, bias = head_lines(scores, (1, 0))
    assert (ppl.axis, ppl.value, ppl.rank) == (None, 9.0, 1)
    assert (bias.axis, bias.value, bias.rank) == (AXIS, 0.3, 2)
    assert (bias.low, bias.high) == (pytest.approx(0.2804, abs=1e-4), pytest.approx(0.3196, abs=1e-4))
    assert (bias.rank_low, bias.rank_high) == (2, 2), "ten standard errors from its neighbours"


def test_ranks_are_as_uncertain_as_their_scores():
    scores = make_scores(np.zeros(20), np.linspace(0, 0.01, 20), 2, se=1.0, ppl_se=1.0)
    _, bias = head_lines(scores, (9, 1))
    assert bias.rank == 1
    assert bias.rank_high >= 18, "differences are a hundredth of the error: nearly any rank is possible"


def test_without_errors_a_rank_has_no_interval():
    _, bias = head_lines(make_scores([0.0, 0.0], [0.1, 0.2], 2, se=np.nan, ppl_se=np.nan), (0, 0))
    assert (bias.rank_low, bias.rank, bias.rank_high) == (2, 2, 2)
    assert np.isnan(bias.low)


def test_the_strongest_head_passes_over_heads_that_were_not_measured():
    assert strongest_head(make_scores([0.0] * 4, [np.nan, 0.2, 0.3, 0.3], 2), AXIS) == (1, 0)


def test_the_strongest_head_is_not_one_that_only_noise_puts_first():
    scores = make_scores([0.0] * 4, [0.9, 0.2, 0.3, 0.1], 2)
    errors = {"z_bias_se." + AXIS: [1.0, 0.01, 0.1, 0.01]}
    assert strongest_head(replace(scores, frame=scores.frame.assign(**errors)), AXIS) == (1, 0)
    errors = {"z_bias_se." + AXIS: [1.0] * 4}
    assert strongest_head(replace(scores, frame=scores.frame.assign(**errors)), AXIS) == (0, 0), "none is clear"
