"""Measures of heads side by side: the columns of the scores, without the heads that are protected anywhere."""

from __future__ import annotations

import numpy as np
from helpers.made_scores import AXIS, make_scores

from fasp_core.selection.head_measures import head_measures

PPL = [9, 1, 2, 3, 4]  # γ = 0.2 protects one of five: head 0 by the first measure, head 4 by the second
OTHER_PPL = [1, 2, 3, 4, 9]
BIAS, OTHER_BIAS = [0.1, 0.2, 0.3, 0.4, 0.5], [5, 4, 3, 2, 1]


def test_columns_are_those_of_the_scores_without_protected_heads():
    tables = {"toxicity": make_scores(PPL, BIAS), "likelihood": make_scores(OTHER_PPL, OTHER_BIAS)}
    found = head_measures(tables, AXIS, gamma=0.2)
    assert found.names == ("bias by toxicity", "bias by likelihood", "perplexity")
    assert np.array_equal(found.values, [[0.2, 4, 1], [0.3, 3, 2], [0.4, 2, 3]])
    assert found.reliability == (None, None, None)


def test_an_axis_that_a_measure_lacks_has_the_others():
    assert head_measures({"toxicity": make_scores(PPL, BIAS)}, "no such axis").names == ("perplexity",)
