"""Estimates and their intervals against numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fasp_core.stats.estimate import Estimate
from fasp_core.stats.normal import differs_from_zero


def test_an_interval_is_students_for_few_and_normal_for_many():
    few, many = Estimate(1.0, 0.5, 3, df=2), Estimate(1.0, 0.5, 1000)
    assert (few.low, few.high) == pytest.approx((1 - 0.5 * 4.302653, 1 + 0.5 * 4.302653))  # t(0.975, 2)
    assert (many.low, many.high) == pytest.approx((1 - 0.5 * 1.959964, 1 + 0.5 * 1.959964))


def test_an_estimate_of_replicates_by_hand():
    # The replicates 1, 2, 3 have standard deviation 1; of 5 units: times √(5/4), with 4 degrees of freedom.
    values = np.array([9.0, 1.0, 2.0, 3.0])
    assert Estimate.of_replicates(values, 20, 5) == Estimate(9.0, pytest.approx(math.sqrt(5 / 4)), 20, 4)
    assert Estimate.of_replicates(values, 20, 5, scale=False) == Estimate(9.0, pytest.approx(1.0), 20, 4)


def test_one_unit_tells_nothing_of_the_error():
    found = Estimate.of_replicates(np.array([9.0, 9.0, 9.0]), 20, 1)
    assert (found.value, found.n, found.df) == (9.0, 20, None)
    assert math.isnan(found.se)
    assert math.isnan(found.low)


def test_a_value_differs_from_zero_when_its_95_percent_interval_leaves_zero_out():
    values, errors = np.array([1.95, 1.97, -1.97, 0.0, 0.5]), np.array([1.0, 1.0, 1.0, 0.0, np.nan])
    assert differs_from_zero(values, errors).tolist() == [False, True, True, False, True]
