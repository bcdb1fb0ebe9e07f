"""What all charts share: colours of the theme, ticks, a button that saves; and what they must not load."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.figures import (
    CHART_CONFIG,
    effect_intervals,
    group_bars,
    head_heatmap,
    head_scatter,
    saving,
    selection_map,
)
from fasp_core.figures.palette import DARK, LIGHT
from fasp_core.figures.style import lay_out, tick_step, whiskers
from fasp_core.stats.estimate import Estimate


@pytest.mark.parametrize("dark", [False, True])
def test_every_chart_takes_its_colours_from_the_theme_so_that_a_saved_image_is_readable(dark):
    estimate = Estimate(1.0, 0.1, 3)
    figures = [
        head_heatmap(np.ones((3, 3)), np.ones((3, 3)), quantity="z_bias", dark=dark),
        selection_map(3, 3, protected=[], pruned=[], dark=dark),
        head_scatter(*[np.arange(2.0)] * 4, [(0, 0), (0, 1)], dark=dark),
        effect_intervals(estimate, estimate, dark=dark),
        group_bars({"a": estimate}, {"a": estimate}, dark=dark),
    ]
    for figure in figures:
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == (DARK if dark else LIGHT).page
        assert figure.layout.font.color == (DARK if dark else LIGHT).text


def test_charts_never_import_torch_or_streamlit():
    code = (
        "import sys, fasp_core.figures, fasp_core.words.captions, fasp_core.selection.prediction; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "streamlit"} & set(loaded)


@given(st.integers(1, 5000), st.integers(2, 30))
def test_ticks_are_few_and_round(n, most):
    step = tick_step(n, most)
    assert n / step <= most
    assert str(step).rstrip("0") in ("1", "2", "5")
    if step > 1:  # the next smaller round step would need too many
        smaller = {"1": step // 2, "2": step // 2, "5": 2 * step // 5}[str(step).rstrip("0")]
        assert n / smaller > most


def test_what_a_figure_has_already_stays_when_it_is_laid_out():
    figure = go.Figure(layout={"xaxis": {"title": {"text": "α"}}, "shapes": [{"type": "line"}]})
    lay_out(figure, LIGHT, height=99, xaxis={"nticks": 3})
    assert (figure.layout.xaxis.title.text, figure.layout.xaxis.nticks, figure.layout.height) == ("α", 3, 99)
    assert figure.layout.xaxis.title.font.color == LIGHT.muted
    assert len(figure.layout.shapes) == 1


def test_an_unknown_error_has_no_width():
    bars = whiskers([Estimate(1.0, float("nan"), 1), Estimate(1.0, 0.5, 100)])
    assert bars["array"] == bars["arrayminus"] == [0, pytest.approx(0.98, abs=1e-3)]


def test_whiskers_end_where_the_quantity_does():
    bars = whiskers([Estimate(0.9, 0.1, 100), Estimate(0.05, 0.1, 100)], 0, 1)
    assert bars["array"] == pytest.approx([0.1, 0.196], abs=1e-3)
    assert bars["arrayminus"] == pytest.approx([0.196, 0.05], abs=1e-3)


def test_a_chart_is_saved_by_the_browser_under_the_given_name():
    config = saving(CHART_CONFIG, "map of heads", "png")
    assert config["modeBarButtons"] == [["toImage"]]
    assert config["toImageButtonOptions"] == {"format": "png", "filename": "map of heads", "scale": 2}
    assert config["scrollZoom"] is False
