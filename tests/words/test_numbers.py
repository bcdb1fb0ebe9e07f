"""Numbers with as many digits as their error supports; expected texts are worked by hand from the PDG's rule."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.words.numbers import (
    axis_label,
    colour_limit,
    column_decimals,
    error_decimals,
    format_estimate,
    format_interval,
    format_number,
)


@pytest.mark.parametrize(
    ("se", "decimals"),
    [
        (0.827, 1),  # the PDG's own examples: 0.827 ± 0.119 -> two digits, ± 0.367 -> one digit
        (0.119, 2),
        (0.367, 1),
        (0.0042, 3),
        (0.0035, 4),
        (0.0099, 3),
        (0.9996, 1),  # rounds up to 1.00, whose leading digits are 100
        (0.354, 2),
        (0.355, 1),
        (42, -1),
        (1234, -2),
        (1, 1),
    ],
)
def test_error_decimals(se, decimals):
    assert error_decimals(se) == decimals


@pytest.mark.parametrize(
    ("value", "se", "signed", "text"),
    [
        (0.01234, 0.0042, True, "+0.012 ± 0.004"),
        (-0.01234, 0.0042, True, "−0.012 ± 0.004"),
        (0.827, 0.119, False, "0.83 ± 0.12"),
        (0.827, 0.367, False, "0.8 ± 0.4"),
        (1234567.0, 1234.0, False, "1,234,600 ± 1,200"),
        (0.0001, 0.04, True, "0.00 ± 0.04"),  # zero has no sign
        (-0.0001, 0.04, True, "0.00 ± 0.04"),
        (25.0, math.nan, False, "25.0"),
        (25.0, None, True, "+25.0"),
        (25.0, 0.0, False, "25.0"),
        (math.nan, 1.0, False, "–"),
        (2.5e-9, 1e-9, True, "+2.5e−09 ± 1.0e−09"),
    ],
)
def test_format_estimate(value, se, signed, text):
    assert format_estimate(value, se, signed=signed) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.123456, "0.123"), (12.3456, "12.3"), (1234.56, "1,235"), (-7.0, "−7.00"), (1e-9, "1.0e−09")],
)
def test_a_number_without_an_error_has_three_digits_and_keeps_its_whole_part(value, text):
    assert format_number(value) == text


def test_an_interval_has_the_digits_that_its_width_supports():
    # half width 0.00795 -> standard error 0.00406 -> three decimals
    assert format_interval(-0.0201, -0.0042) == "−0.020 to −0.004"
    assert format_interval(0.5, 0.5) == "0.500"
    assert format_interval(math.nan, 1.0) == "–"


@given(
    st.floats(-1e9, 1e9, allow_nan=False),
    st.floats(1e-5, 1e6, allow_nan=False),
)
def test_value_and_error_end_at_the_same_place_and_stay_close(value, se):
    text = format_estimate(value, se)
    shown, error = (part.replace(",", "").replace("−", "-") for part in text.split(" ± "))
    assert len(shown.partition(".")[2]) == len(error.partition(".")[2])
    assert abs(float(shown) - value) <= 0.15 * se + 1e-9 * abs(value)
    assert abs(float(error) - se) <= 0.15 * se
    assert len(error.replace(".", "").strip("0")) in (1, 2)


def test_decimals_of_a_column_follow_its_median_error():
    assert column_decimals(np.array([0.0042, 0.0045, 9.0])) == 3
    assert column_decimals(np.array([1234.0, 1234.0])) == 0
    assert column_decimals(np.array([np.nan, np.nan])) == 4


def test_axis_names_for_people():
    assert axis_label("gender_and_sex") == "Gender and sex"
    assert axis_label("race_ethnicity") == "Race and ethnicity"


def test_one_extreme_head_does_not_flatten_the_colours_of_the_rest():
    values = np.array([1000.0, *np.linspace(-0.02, 0.02, 199)])
    assert colour_limit(values) == pytest.approx(0.02, abs=0.001)


def test_the_limit_is_a_quantile_rounded_up_to_two_digits():
    # |values| are 1 … 101, so the 98 % quantile is the 99th of them: 99
    assert colour_limit(np.arange(1.0, 102.0)) == 99
    assert colour_limit(np.full(5, 0.01234)) == 0.013


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.full((2, 2), np.nan), np.array([])])
def test_without_any_effect_there_is_still_a_scale(values):
    assert colour_limit(values) > 0


numbers = st.floats(-1e12, 1e12) | st.floats(-1e-6, 1e-6)


@given(value=numbers, other=numbers, se=st.floats(1e-12, 1e6) | st.none(), signed=st.booleans())
def test_a_sign_is_a_true_minus_stands_once_and_never_before_zero(value, other, se, signed):
    low, high = sorted((value, other))
    texts = [
        format_number(value, se, signed=signed),
        *format_estimate(value, se, signed=signed).split(" ± "),
        *format_interval(low, high, signed=signed).split(" to "),
    ]
    for text in texts:
        assert "-" not in text
        assert re.fullmatch(r"[−+]?\d[\d,.]*(e[−+]\d+)?|–", text), text
        assert not re.fullmatch(r"[−+]0[0,.]*", text), text
