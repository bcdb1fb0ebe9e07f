"""What pruning does, read back from the figure."""

from __future__ import annotations

import pytest

from fasp_core.figures import effect_intervals, group_bars
from fasp_core.figures.palette import LIGHT
from fasp_core.stats.estimate import Estimate


def test_intervals_are_drawn_at_95_percent():
    before, after = Estimate(24.0, 1.0, 10), Estimate(25.0, 0.5, 10)  # many degrees of freedom: ± 1.96 standard errors
    drawn = {trace.y[0]: (trace.x[0], trace.error_x.array[0]) for trace in effect_intervals(before, after).data}
    assert drawn == {"before": (24.0, pytest.approx(1.96, abs=1e-3)), "measured": (25.0, pytest.approx(0.98, abs=1e-3))}


def test_a_measurement_under_way_is_grey_and_no_interval_goes_below_the_lowest_value():
    figure = effect_intervals(Estimate(0.1, 0.02, 9), Estimate(0.02, 0.02, 9), lowest=0, complete=False)
    measured = figure.data[1]
    assert measured.marker.color == LIGHT.muted
    assert measured.error_x.arrayminus[0] == pytest.approx(0.02)
    assert measured.error_x.array[0] == pytest.approx(0.0392, abs=1e-4)


def test_an_unknown_error_has_no_whisker():
    figure = effect_intervals(Estimate(24.0, float("nan"), 1), Estimate(25.0, 0.5, 10))
    assert [trace.error_x.visible for trace in figure.data] == [False, True]


def test_group_bars_sort_by_toxicity_and_escape_names():
    before = {"<b>x</b>": Estimate(0.1, 0.01, 5), "other_group": Estimate(0.3, float("nan"), 1)}
    figure = group_bars(before, before)
    assert list(figure.data[0].y) == ["&lt;b&gt;x&lt;/b&gt;", "other group"]
    assert list(figure.data[0].error_x.array) == [pytest.approx(0.0196, abs=1e-4), 0]
