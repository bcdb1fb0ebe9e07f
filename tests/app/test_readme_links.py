"""The README's links into the running app open finished views of the study that comes with the project."""

from __future__ import annotations

import re
import shutil
from urllib.parse import parse_qsl, urlparse

import pytest
from helpers.app_pages import PROJECT, all_text, open_page
from streamlit.testing.v1 import AppTest

from fasp_core.stats.normal import differs_from_zero
from ui.address import PARTS, read_view

LINKS = re.findall(r"\[([^\]]+)\]\((http://127\.0\.0\.1:8501/[^)]*)\)", (PROJECT / "README.md").read_text("utf-8"))


@pytest.fixture
def shipped(cache):
    shutil.copytree(PROJECT / "cache" / "default", cache / "default")


def opened(label: str) -> AppTest:
    address = urlparse(dict(LINKS)[label])
    return open_page(f"pages/{address.path.strip('/') or 'heads'}.py", **dict(parse_qsl(address.query)))


def test_every_part_of_an_address_means_something():
    assert len(LINKS) == 3
    for _, link in LINKS:
        query = dict(parse_qsl(urlparse(link).query))
        view = read_view(query)
        assert {name: PARTS[name].write(view[name]) for name in query} == query


def test_the_heads_that_drive_the_gender_bias(shipped):
    app = opened("the heads that drive the gender bias")
    assert not app.error
    assert "There is a bias on this axis" in app.info[0].value
    assert [metric.label for metric in app.metric][-1] == "z_bias · Gender and sex"
    assert len(app.get("plotly_chart")) >= 3


def test_what_pruning_them_does(shipped):
    app = opened("what pruning them does")
    assert not app.error
    assert "gender and sex" in all_text(app).lower()
    assert len(app.get("plotly_chart")) >= 2  # measured already: curves, and bias against perplexity
    assert not app.warning


def test_the_trade_off(shipped):
    app = opened("the trade-off")
    assert not app.error
    rows = app.dataframe[-1].value
    assert len(rows) > 0
    assert differs_from_zero(rows["z_bias.gender_and_sex"], rows["z_bias_se.gender_and_sex"]).all()
