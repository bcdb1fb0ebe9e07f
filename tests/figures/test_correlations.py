"""The charts of correlations, read back from the figure."""

from __future__ import annotations

import numpy as np
import pytest

from fasp_core.figures import agreement_matrix, axis_scatter_matrix, correlation_matrix
from fasp_core.figures.correlations import MOST_POINTS
from fasp_core.selection.correlations import AxisCorrelations
from fasp_core.stats.rank_agreement import RankAgreement

AXES = ("age", "<b>x</b>", "religion")
R = np.array([[1, 0.8, 0.1], [0.8, 1, np.nan], [0.1, np.nan, 1]])
LOW, HIGH = R - 0.15, R + 0.15


def test_below_the_diagonal_stands_r_above_it_the_interval():
    figure = correlation_matrix(AxisCorrelations(AXES, R, LOW, HIGH, 100))
    words = {(note.y, note.x): note.text for note in figure.layout.annotations}
    assert words[1, 0] == "<b>0.80</b>"
    assert words[0, 1] == "0.65<br>0.95"
    assert words[2, 1] == "<b>–</b>"
    assert (0, 0) not in words
    assert list(figure.layout.xaxis.ticktext) == ["Age", "&lt;b&gt;x&lt;/b&gt;", "Religion"]


def test_correlations_that_may_be_zero_are_faded():
    clear, faded = correlation_matrix(AxisCorrelations(AXES, R, LOW, HIGH, 100)).data
    assert (clear.z[0][1], faded.z[0][2]) == (0.8, 0.1)
    assert np.isnan(clear.z[0][2])
    assert faded.opacity < clear.opacity


def test_every_pair_of_axes_has_a_panel_with_every_head():
    values = {axis: np.arange(10.0) * (i + 1) for i, axis in enumerate(AXES)}
    kept = np.arange(10) > 2
    figure = axis_scatter_matrix(values, kept, np.ones(10, bool), heads_per_layer=5)
    assert len(figure.data) == 3 * 2
    protected = [trace for trace in figure.data if trace.name == "protected"]
    assert all(trace.marker.symbol == "square" and len(trace.x) == 3 for trace in protected)
    assert sum(bool(trace.showlegend) for trace in figure.data) == 2
    assert [list(trace.customdata) for trace in protected] == [["0.0", "0.1", "0.2"]] * 3


@pytest.mark.parametrize("n", [144, 5120])
def test_of_very_many_heads_a_part_is_drawn_but_all_protected_ones(n):
    values = {str(i): np.arange(float(n)) for i in range(5)}
    kept = np.arange(n) >= 50
    figure = axis_scatter_matrix(values, kept, np.ones(n, bool), heads_per_layer=8)
    drawn = sum(len(trace.x) for trace in figure.data)
    assert drawn <= MOST_POINTS + 10 * 50
    assert all(len(trace.x) == 50 for trace in figure.data if trace.name == "protected")
    if n == 144:
        assert drawn == 144 * 10


def test_measures_that_cannot_be_told_are_faded_whatever_their_interval():
    agreement = RankAgreement(R, LOW, HIGH, np.full((3, 3), 9))
    muted = np.zeros((3, 3), bool)
    clear, faded = agreement_matrix(("a", "<b>x</b>", "c"), agreement, muted).data
    assert clear.z[0][1] == 0.8
    muted[0, 1] = muted[1, 0] = True
    clear, faded = agreement_matrix(("a", "<b>x</b>", "c"), agreement, muted).data
    assert np.isnan(clear.z[0][1])
    assert faded.z[0][1] == 0.8
    assert "&lt;b&gt;" in agreement_matrix(("a", "<b>x</b>", "c"), agreement, muted).layout.xaxis.ticktext[1]
