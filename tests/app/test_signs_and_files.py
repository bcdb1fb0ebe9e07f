"""Small things of all pages, under AppTest: one true sign a number, "1 head", files whose names say what they hold."""

from __future__ import annotations

import io
import re
import shutil

import pandas as pd
import pytest
import streamlit as st
from helpers.app_pages import AXIS, PAGES, PROJECT, all_text, open_page
from helpers.made_study import make_study

WRONG_SIGN = re.compile(r"[−+-]−|[−+]-|--\d|[-−]0(\.0+)?(?![\d.,])")
ABOUT_HEADS = re.compile(r"\b1 heads\b")


def strings(app) -> list[str]:
    """All text of a page, with that of its tables."""
    tables = [element.value for element in app.dataframe]
    cells = [str(cell) for table in tables for cell in table.select_dtypes(exclude="number").to_numpy().ravel()]
    return [*all_text(app).splitlines(), *cells]


@pytest.fixture
def shipped(cache):
    shutil.copytree(PROJECT / "cache" / "default", cache / "default")


@pytest.mark.parametrize("page", PAGES)
def test_a_number_has_one_sign_and_one_head_is_one(page, shipped):
    for line in strings(open_page(page, alpha="0.004")):  # one head of 270
        assert not WRONG_SIGN.search(line), line
        assert not ABOUT_HEADS.search(line), line


@pytest.mark.parametrize("text", ["−-0.1", "--0", "+-3", "-0.0", "−0.00 ", "+−2", "−−1"])
def test_what_is_looked_for_would_be_found(text):
    assert WRONG_SIGN.search(text)


@pytest.mark.parametrize("text", ["−0.12", "0.3-5.1", "+0.02 ± 0.01", "−0.020 to −0.004", "2026-11-29", "1.0e−09"])
def test_what_is_right_is_left_alone(text):
    assert not WRONG_SIGN.search(text)


def test_the_subtitle_of_continuations_counts_texts(shipped):
    """The study opens by likelihood, on readings of prompts; this page shows texts."""
    assert "readings of prompts" in all_text(open_page("pages/heads.py"))
    text = all_text(open_page("pages/continuations.py"))
    assert "3,584 sampled continuations" in text  # 3,072 and 512, of two axes
    assert "readings of prompts" not in text


@pytest.fixture
def files(monkeypatch):
    """What each download button of a page would save, by its label: file name and content."""
    found = {}
    button = st.download_button

    def seen(label, data, file_name, *args, **kwargs):
        found[label] = (file_name, data() if callable(data) else data)
        return button(label, data, file_name, *args, **kwargs)

    monkeypatch.setattr(st, "download_button", seen)
    return found


def test_the_files_of_heads_are_named_and_hold_what_is_shown(cache, files):
    scores = make_study(cache).scores()
    app = open_page("pages/heads.py", axis=AXIS, head="4.2")
    name, data = files["Download all scores (CSV)"]
    assert name == "head_scores.default.toxicity.csv"
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(data)), scores.frame, check_dtype=False)
    name, data = files["Download groups (CSV)"]
    assert name == f"groups.{AXIS}.toxicity.4.2.csv"
    shown = next(element.value for element in app.dataframe if "group" in element.value and "with" in element.value)
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(data)), shown, check_dtype=False)


def test_the_file_of_correlations_is_the_table(cache, files):
    make_study(cache, "mine")
    app = open_page("pages/correlations.py")
    name, data = files["Download correlations (CSV)"]
    assert name == "correlations.mine.csv"
    shown = app.dataframe[0].value
    assert pd.read_csv(io.StringIO(data), dtype=str).to_numpy().tolist() == shown.astype(str).to_numpy().tolist()


def test_the_file_of_continuations_holds_the_texts_that_are_found(cache, files):
    frame = make_study(cache).samples(AXIS)
    open_page("pages/continuations.py", axis=AXIS, group="male", least="0.10")
    name, data = files["Download these texts (CSV)"]
    assert name == f"continuations.default.{AXIS}.csv"
    expected = frame[(frame["group"] == "male") & (frame["toxicity"] >= 0.1)]
    assert sorted(pd.read_csv(io.StringIO(data))["continuation"]) == sorted(expected["continuation"])
