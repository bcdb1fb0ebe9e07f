"""Every head as a point, read back from the figure."""

from __future__ import annotations

import numpy as np
import pytest

from fasp_core.figures import MOST_ERROR_BARS, head_scatter
from fasp_core.figures.palette import LIGHT


def scatter(z_ppl, z_bias, **options):
    heads = [divmod(i, 4) for i in range(len(z_ppl))]
    return head_scatter(
        np.array(z_ppl), np.full(len(z_ppl), 0.1), np.array(z_bias), np.full(len(z_ppl), 0.1), heads, **options
    )


def test_the_scatter_keeps_order_and_sign_of_long_tailed_scores_and_names_true_values():
    z_ppl = [-0.2, 0.0, 0.05, 0.4, 900.0]
    figure = scatter(z_ppl, [0.1, -0.1, 0.2, 0.0, 0.3])
    x = figure.data[0].x
    assert np.sign(x).tolist() == np.sign(z_ppl).tolist()
    assert list(x) == sorted(x)
    # the median of the non-zero |z| is 0.3: linear within, so asinh(z / 0.3)
    assert x[3] == pytest.approx(np.arcsinh(0.4 / 0.3))
    ticks = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))
    assert ticks["100"] == pytest.approx(np.arcsinh(100 / 0.3))
    assert ticks["0"] == 0


def test_the_scatter_draws_error_bars_only_where_they_can_be_told_apart():
    few = scatter(np.arange(8.0), np.ones(8)).data[0]
    many = scatter(np.arange(MOST_ERROR_BARS + 1.0), np.ones(MOST_ERROR_BARS + 1)).data[0]
    assert few.error_x.color == LIGHT.faint
    assert many.error_x.array is None


def test_the_cut_lies_between_the_protected_heads_and_the_rest():
    figure = scatter([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, -1.0], protected=[(0, 2), (0, 3)], pruned=[(0, 1)])
    points, (cut,) = figure.data[0], figure.layout.shapes
    assert points.x[1] < cut.x0 < points.x[2]
    assert list(points.marker.symbol) == ["circle", "x", "square", "square"]
    assert {trace.name for trace in figure.data if trace.showlegend is not False} == {"protected", "kept", "pruned"}
    assert not scatter([0.0, 1.0], [0.0, 1.0]).layout.shapes


def test_the_scatter_rings_the_selected_head_with_its_own_bars():
    ring = next(t for t in scatter([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], selected=[(0, 2)]).data if t.name == "selected")
    assert (ring.y[0], ring.error_y.array[0]) == (2.0, 0.1)
