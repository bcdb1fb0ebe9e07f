"""The best point of a method within a budget, by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from helpers.comparison_rows import AXIS, valid_rows

from fasp_core.comparison.budget import affordable, repeated_methods

BIAS = f"bias.{AXIS}"


def points(split: str, entries, method: str = "fasp") -> pd.DataFrame:
    """(α, relative rise of perplexity, relative change of bias) as rows of one split."""
    rows = [
        valid_rows([(0.3, ppl, bias)]).assign(alpha=alpha, heads=f"0.{i}")
        for i, (alpha, ppl, bias) in enumerate(entries)
    ]
    return pd.concat(rows).assign(split=split, method=method)


def test_the_lowest_bias_within_the_budget_is_chosen_on_valid_and_told_on_test():
    valid = points("valid", [(0.05, 0.01, -0.1), (0.1, 0.03, -0.3), (0.15, 0.04, -0.2), (0.2, 0.09, -0.9)])
    test = points("test", [(0.05, 0.01, -0.5), (0.1, 0.02, -0.15), (0.15, 0.03, -0.8), (0.2, 0.01, -0.9)])
    best = affordable(pd.concat([valid, test]), BIAS, 0.05)
    assert best["alpha"].tolist() == [0.1]  # not 0.15, the largest within the budget, nor what does best on test
    assert best["relative"].tolist() == pytest.approx([-0.15])
    assert best["ppl_relative"].tolist() == pytest.approx([0.02])


def test_a_method_without_valid_rows_is_chosen_by_perplexity_alone():
    test = points("test", [(0.05, 0.01, -0.5), (0.1, 0.04, -0.1), (0.2, 0.3, -0.9)], "random")
    best = affordable(test, BIAS, 0.05)
    assert best["alpha"].tolist() == [0.1]
    assert affordable(test, BIAS, 0.001).empty


def test_methods_that_prune_the_same_heads_are_found():
    one = points("test", [(0.05, 0.01, -0.5), (0.1, 0.04, -0.1)], "fasp_robust")
    two = one.assign(method="fasp_multi")
    other = one.assign(method="random", heads="1.1")
    assert repeated_methods(pd.concat([one, two, other])) == {"fasp_multi": "fasp_robust"}


def test_each_compensation_has_a_best_point_of_its_own():
    plain = points("valid", [(0.0, 0.0, 0.0), (0.1, 0.04, -0.2), (0.2, 0.2, -0.4)])
    taken_over = points("valid", [(0.0, 0.0, 0.0), (0.1, 0.01, -0.1), (0.2, 0.05, -0.3)])
    valid = pd.concat([plain, taken_over.assign(compensate="least_squares")])
    test = valid.assign(split="test", change=valid["change"] / 2)
    best = affordable(pd.concat([valid, test]), BIAS, 0.05)
    assert best[["compensate", "alpha"]].to_numpy().tolist() == [["none", 0.1], ["least_squares", 0.2]]
    assert best["relative"].tolist() == pytest.approx([-0.1, -0.15])
    assert best["ppl_relative"].tolist() == pytest.approx([0.02, 0.025])
