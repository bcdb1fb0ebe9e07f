"""Measured sets as points, read back from the figure."""

from __future__ import annotations

import pytest

from fasp_core.figures import history_plot
from fasp_core.figures.palette import LIGHT
from fasp_core.stats.estimate import Estimate

PPL = [Estimate(26.0, 0.5, 50), Estimate(24.0, 0.5, 50), Estimate(30.0, float("nan"), 1)]
BIAS = [Estimate(0.1, 0.01, 100), Estimate(0.2, 0.01, 100), Estimate(0.3, 0.01, 100)]


def test_sets_keep_their_order_and_the_front_is_joined_from_low_perplexity_to_high():
    figure = history_plot(PPL, BIAS, ["a", "<b>b</b>", "c"], [True, True, False])
    sets, front = figure.data
    assert list(sets.x) == [26.0, 24.0, 30.0]
    assert list(front.x) == [24.0, 26.0]
    assert list(front.y) == [0.2, 0.1]
    assert list(sets.marker.color) == [LIGHT.pruned, LIGHT.pruned, LIGHT.muted]
    assert sets.error_x.array == pytest.approx([0.98, 0.98, 0], abs=1e-3)
    assert "&lt;b&gt;b&lt;/b&gt;" in sets.text[1]


def test_sets_that_cannot_be_compared_are_hollow():
    figure = history_plot(
        PPL, BIAS, "abc", [True, True, False], pinned=[False, False, True], apart=[False, False, True]
    )
    assert list(figure.data[0].marker.symbol) == ["circle", "circle", "star-open"]


def test_the_intact_model_the_shown_set_and_pins_are_marked():
    figure = history_plot(
        PPL, BIAS, "abc", [False] * 3, before=(PPL[1], BIAS[1]), current=2, pinned=[True, False, False]
    )
    by_name = {trace.name: trace for trace in figure.data}
    assert (by_name["intact"].x[0], by_name["intact"].y[0]) == (24.0, 0.2)
    assert (by_name["shown"].x[0], by_name["shown"].y[0]) == (30.0, 0.3)
    assert list(by_name["sets"].marker.symbol) == ["star", "circle", "circle"]
    assert len(by_name["Pareto front"].x) == 0
