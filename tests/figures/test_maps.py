"""Maps of heads, read back from the figure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fasp_core.figures import head_heatmap, selection_map


@given(arrays(float, (4, 6), elements=st.floats(-1e6, 1e6)))
def test_colours_are_centred_on_zero(values):
    scale = head_heatmap(values, np.ones_like(values), quantity="z_bias").layout.coloraxis
    assert scale.cmin == -scale.cmax
    assert [stop for stop, _ in scale.colorscale] == sorted(stop for stop, _ in scale.colorscale)


def dotted(figure) -> list[tuple[int, int]]:
    """The (layer, head) of the cells that carry a dot."""
    dots = [trace for trace in figure.data if trace.name == "clear"]
    return [(round(y), round(x)) for trace in dots for y, x in zip(trace.y, trace.x, strict=True)]


def test_a_dot_marks_the_heads_that_differ_from_zero_and_colour_means_the_value_alone():
    values = np.array([[0.5, 0.1], [-0.5, 0.0]])
    figure = head_heatmap(values, np.full((2, 2), 0.1), quantity="z_bias")
    assert dotted(figure) == [(0, 0), (1, 0)]
    (colours,) = (trace for trace in figure.data if trace.type == "heatmap")
    assert np.array_equal(colours.z, values)
    assert colours.opacity is None


def test_without_errors_or_without_an_intact_model_no_head_is_marked():
    values = np.array([[0.5, 0.1], [-0.5, 0.0]])
    assert dotted(head_heatmap(values, np.full((2, 2), np.nan), quantity="z_bias")) == []
    relative = head_heatmap(values, np.full((2, 2), 0.1), quantity="z_bias", relative=True)
    assert dotted(relative) == []
    assert all("median head" in text and "from 0" not in text for text in relative.data[-1].text)


def test_hover_gives_value_and_error_of_the_head_under_the_pointer():
    values = np.array([[0.5, 0.1, 0.2], [-0.01234, 0.0, 0.3]])
    targets = head_heatmap(values, np.full((2, 3), 0.0042), quantity="z_bias").data[-1]
    place = [*zip(targets.y, targets.x, strict=True)].index((1, 0))
    assert targets.text[place].startswith("z_bias −0.012 ± 0.004")
    assert len(targets.x) == 6


def test_the_colour_bar_says_when_values_lie_beyond_its_ends():
    values = np.array([100.0] + [0.01 * i for i in range(99)]).reshape(10, 10)
    labels = head_heatmap(values, np.ones((10, 10)), quantity="z_ppl").layout.coloraxis.colorbar.ticktext
    assert labels[0].startswith("−")
    assert labels[2].startswith("≥ +")


@pytest.mark.parametrize("shape", [(30, 9), (12, 12), (32, 32), (80, 64)])
def test_maps_of_every_size_show_each_head_once_and_few_ticks(shape):
    figure = head_heatmap(np.ones(shape), np.ones(shape), quantity="z_ppl", selected=[(shape[0] - 1, 0)])
    assert len(figure.data[-1].x) == shape[0] * shape[1]
    for axis, n in ((figure.layout.yaxis, shape[0]), (figure.layout.xaxis, shape[1])):
        assert 4 <= n / axis.dtick <= 16
    assert figure.layout.height < 900


def test_only_on_request_does_dragging_select_so_that_a_finger_can_scroll():
    assert head_heatmap(np.ones((2, 2)), np.ones((2, 2)), quantity="z_ppl").layout.dragmode is False
    assert head_heatmap(np.ones((2, 2)), np.ones((2, 2)), quantity="z_ppl", several=True).layout.dragmode == "select"


def test_the_selection_map_shows_kinds_by_colour_and_by_mark():
    figure = selection_map(2, 3, protected=[(0, 1)], pruned=[(1, 2), (0, 0)])
    assert figure.data[0].z.tolist() == [[2, 0, 1], [1, 1, 2]]
    assert [trace.name for trace in figure.data[1:4]] == ["protected 1", "kept 3", "pruned 2"]
    crosses = next(trace for trace in figure.data[1:] if trace.marker.symbol == "x-thin")
    assert [*zip(crosses.y, crosses.x, strict=True)] == [(0, 0), (1, 2)]
    assert list(figure.data[-1].text) == ["pruned", "protected", "kept", "kept", "kept", "pruned"]
