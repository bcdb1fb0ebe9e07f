"""Methods side by side, read back from the figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.made_comparison import METHODS, make_comparison
from helpers.made_study import make_study

from fasp_core.comparison.table import pool
from fasp_core.figures import comparison_curves, predicted_measured, side_effects, trade_off
from fasp_core.figures.comparison import axis_end
from fasp_core.figures.curves import STYLES
from fasp_core.selection import rules

AXIS = "gender_and_sex"


@pytest.fixture
def pooled(tmp_path) -> pd.DataFrame:
    table = make_comparison(make_study(tmp_path), seeds=2)
    return pool(table.frame[table.frame["split"] == "test"])


def test_curves_hold_the_numbers_of_the_table(pooled):
    figure = comparison_curves(pooled, f"bias.{AXIS}")
    lines = {trace.name: trace for trace in figure.data if "markers" in trace.mode}
    assert set(lines) == set(METHODS)
    rows = pooled.query(f"method == 'fasp' and metric == 'bias.{AXIS}'").sort_values("alpha")
    assert list(lines["fasp"].y) == pytest.approx(100 * rows["relative"])
    assert lines["fasp"].error_y.array == pytest.approx(100 * (rows["relative_high"] - rows["relative"]))
    assert [point[2] for point in lines["fasp"].customdata] == ["0.05", "0.1", "0.2"]


def test_few_methods_have_bands_and_many_whiskers(pooled):
    few = comparison_curves(pooled[pooled["method"].isin(["fasp", "random"])], "ppl")
    many = comparison_curves(pooled, "ppl")
    assert sum(trace.fill == "toself" for trace in few.data) == 2
    assert sum(trace.fill == "toself" for trace in many.data) == 0
    assert all(trace.error_y.array is None for trace in few.data)


def test_a_ruined_model_does_not_flatten_the_others():
    assert axis_end(pd.Series([0.01, 0.05, 0.1, 0.2])) is None
    end = axis_end(pd.Series([*np.linspace(0, 0.2, 30), 4.7]))
    assert 0.2 < end < 0.6
    assert axis_end(pd.Series([*np.linspace(-0.8, 0, 18), 0.02, 0.2])) is None  # most below 0: nothing is cut off


def test_the_front_has_only_points_that_none_beats(pooled):
    figure = trade_off(pooled, AXIS)
    front = list(zip(figure.data[0].x, figure.data[0].y, strict=True))
    points = [p for trace in figure.data[1:] for p in zip(trace.x, trace.y, strict=True)]
    for x, y in front:
        assert not any((px <= x and py <= y) and (px < x or py < y) for px, py in points)
    assert set(front) <= set(points)


def test_side_effects_and_predictions_name_every_axis_and_method(pooled):
    effects = side_effects(pooled[pooled["alpha"] == 0.2], AXIS)
    assert list(effects.layout.yaxis.ticktext) == ["Gender and sex", "Religion"]
    assert {trace.name for trace in effects.data} == set(METHODS)
    predicted = predicted_measured(pooled, "ppl")
    fasp = next(trace for trace in predicted.data if trace.name == "fasp")
    rows = pooled.query("method == 'fasp' and metric == 'ppl'").sort_values("alpha")
    assert list(fasp.x) == pytest.approx(100 * rows["predicted"] / rows["before"])


def test_methods_differ_by_more_than_hue():
    assert set(STYLES) == set(rules.METHODS)
    assert len({style[2] for style in STYLES.values()}) == len(STYLES)  # no marker twice
    assert all(len({style[side] for style in STYLES.values()}) == len(STYLES) for side in (0, 1))


# -- what takes the heads' place ------------------------------------------------------------------------------------


@pytest.fixture
def both_ways(tmp_path) -> pd.DataFrame:
    table = make_comparison(make_study(tmp_path), methods=("fasp", "random"), compensations=("none", "least_squares"))
    return pool(table.frame[table.frame["split"] == "test"])


def test_a_method_is_solid_without_and_dashed_with_compensation_in_one_colour(both_ways):
    figure = comparison_curves(both_ways, f"bias.{AXIS}", by="likelihood")
    lines = {trace.name: trace for trace in figure.data if trace.customdata is not None}
    assert list(lines) == [
        "fasp",
        "fasp, the remaining heads take over",
        "random",
        "random, the remaining heads take over",
    ]
    plain, taken_over = lines["fasp"], lines["fasp, the remaining heads take over"]
    assert (plain.line.dash, taken_over.line.dash) == ("solid", "dash")
    assert plain.line.color == taken_over.line.color != lines["random"].line.color
    assert (plain.marker.symbol, taken_over.marker.symbol) == ("circle", "circle-open")
    rows = both_ways.query(f"method == 'fasp' and metric == 'bias.{AXIS}' and compensate == 'least_squares'")
    assert list(taken_over.y) == pytest.approx(100 * rows.sort_values("alpha")["relative"])
    assert {point[3] for point in taken_over.customdata} == {"least_squares"}
    legend = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert legend == ["fasp", "random", "nothing in the heads' place", "the remaining heads take over"]
    assert figure.layout.yaxis.title.text == "change of bias of gender and sex by likelihood (%)"


def test_the_trade_off_has_the_intervals_of_both_and_one_front_over_all(both_ways):
    figure = trade_off(both_ways, AXIS, by="likelihood")
    traces = {trace.name: trace for trace in figure.data if trace.customdata is not None}
    rows = both_ways.query("method == 'fasp' and compensate == 'none'").sort_values("alpha")
    for metric, bars in ((f"bias.{AXIS}", traces["fasp"].error_y), ("ppl", traces["fasp"].error_x)):
        part = rows[rows["metric"] == metric]
        assert bars.array == pytest.approx(100 * (part["relative_high"] - part["relative"]))
    points = [p for trace in traces.values() for p in zip(trace.x, trace.y, strict=True)]
    front = list(zip(figure.data[0].x, figure.data[0].y, strict=True))
    assert set(front) == {
        (x, y) for x, y in points if not any((px <= x and py <= y) and (px < x or py < y) for px, py in points)
    }


def test_predictions_are_of_points_without_compensation(both_ways):
    predicted = predicted_measured(both_ways, "ppl", by="likelihood")
    assert {trace.name for trace in predicted.data} == {"fasp", "random", "additive"}
