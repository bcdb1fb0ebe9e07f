"""Durations, sizes and ranges by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.words.spoken import duration, model_title, rough_bytes, some_heads, spoken_bytes, spoken_range


@pytest.mark.parametrize(
    ("name", "ref", "title"),
    [
        ("default", "default", "SmolLM2-135M-Instruct"),
        ("default", None, "SmolLM2-135M-Instruct"),
        ("default", "/models/default", "default"),
        ("gpt2", "gpt2", "gpt2"),
        (None, "gpt2", "gpt2"),
        (None, None, "unknown"),
    ],
)
def test_a_model_has_its_own_name(name, ref, title):
    assert model_title(name, ref) == title


@pytest.mark.parametrize(("size", "words"), [(2.79e9, "2.8 GB"), (3.09e6, "3.1 MB"), (128e6, "130 MB"), (0, "1 kB")])
def test_an_estimate_of_bytes_promises_two_digits(size, words):
    assert rough_bytes(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (-1, "0 s")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((300, 540, 1080), "about 9 min (5 min to 18 min)"),
        ((1, 10, 89), "about 10 s (1 s to 89 s)"),
        ((0, 0.2, 0.4), "about 1 s"),  # never 0: something takes a while
        ((5400, 3 * 3600, 24 * 3600), "about 3.0 h (1.5 h to 24.0 h)"),
        ((71 * 3600, 72 * 3600, 240 * 3600), "about 3 days (71.0 h to 10 days)"),
    ],
)
def test_ranges(seconds, words):
    assert spoken_range(*seconds) == words


@pytest.mark.parametrize(
    ("n", "words"), [(2_612_000_000, "2.61 GB"), (14e6, "14 MB"), (3e12, "3 TB"), (300, "1 kB"), (512_400, "512 kB")]
)
def test_bytes(n, words):
    assert spoken_bytes(n) == words


@given(st.floats(0, 1e7))
def test_a_duration_can_be_read_back(seconds):
    """To the second below an hour, to the minute above."""
    units = {"s": 1, "min": 60, "h": 3600}
    parts = duration(seconds).split()
    total = sum(int(n) * units[unit] for n, unit in zip(parts[::2], parts[1::2], strict=True))
    assert abs(total - seconds) <= (0.5 if seconds < 3599.5 else 60)


@pytest.mark.parametrize(("n", "words"), [(0, "0 heads"), (1, "1 head"), (1024, "1,024 heads")])
def test_a_number_of_heads(n, words):
    assert some_heads(n) == words
