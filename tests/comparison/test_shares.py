"""Ranges and lists of shares, as they are typed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.comparison.shares import parse_shares
from fasp_core.errors import InputError


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("0:0.2:0.02", (0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2)),
        ("0.2:0.7:0.2", (0.2, 0.4, 0.6)),  # the next step would go beyond the end
        ("0.1, 0.05", (0.1, 0.05)),
        ("0.3", (0.3,)),
    ],
)
def test_by_hand(text, shares):
    assert parse_shares(text, "--alphas") == shares


@pytest.mark.parametrize("text", ["0:1:0", "0:1:-0.1", "0:1:0.00001", "1:0:0.1", "a:b:c", "0:1", "many", "0.1;0.2"])
def test_anything_else_is_one_line(text):
    with pytest.raises(InputError, match=re.escape(f"--gammas is '{text}'")) as caught:
        parse_shares(text, "--gammas")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["0:1:1e-999999999", "-1e999999999:1e999999999:1", "0:inf:1", "0:1:nan", "sNaN"])
def test_numbers_beyond_all_bounds_are_one_short_line(text):
    with pytest.raises(InputError, match="give first:last:step") as error:
        parse_shares(text, "--alphas")
    assert len(str(error.value)) < 200


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 20))
def test_a_range_counts_in_decimals(first, more, step):
    """0.1 + 0.2 is 0.3 here: what is typed in hundredths comes out in hundredths."""
    shares = parse_shares(f"{first / 100}:{(first + more) / 100}:{step / 100}", "--alphas")
    assert shares == tuple(k / 100 for k in range(first, first + more + 1, step))
