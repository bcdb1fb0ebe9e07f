"""Charts: what a reader would take from them, read back from the figure; no pixel is compared."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fasp_core.estimates import Estimate
from fasp_core.figures import (
    MOST_ERROR_BARS,
    colour_limit,
    effect_intervals,
    group_bars,
    head_groups,
    head_heatmap,
    head_scatter,
    selection_map,
)
from fasp_core.figures.outlines import boundary
from fasp_core.head_detail import GroupEffect
from fasp_core.palette import DARK, LIGHT


def test_one_extreme_head_does_not_flatten_the_colours_of_the_rest():
    values = np.array([1000.0, *np.linspace(-0.02, 0.02, 199)])
    assert colour_limit(values) == pytest.approx(0.02, abs=0.001)


def test_the_limit_is_a_quantile_rounded_up_to_two_digits():
    # |values| are 1 … 101, so the 98 % quantile is the 99th of them: 99
    assert colour_limit(np.arange(1.0, 102.0)) == 99
    assert colour_limit(np.full(5, 0.01234)) == 0.013


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.full((2, 2), np.nan), np.array([])])
def test_without_any_effect_there_is_still_a_scale(values):
    assert colour_limit(values) > 0


@given(arrays(float, (4, 6), elements=st.floats(-1e6, 1e6)))
def test_colours_are_centred_on_zero(values):
    scale = head_heatmap(values, np.ones_like(values), quantity="z_bias").layout.coloraxis
    assert scale.cmin == -scale.cmax
    assert [stop for stop, _ in scale.colorscale] == sorted(stop for stop, _ in scale.colorscale)


def test_heads_not_distinguishable_from_zero_are_faded_and_only_they():
    values = np.array([[0.5, 0.1], [-0.5, 0.0]])
    figure = head_heatmap(values, np.full((2, 2), 0.1), quantity="z_bias")
    clear, faded = figure.data[:2]
    assert np.isfinite(clear.z).tolist() == [[True, False], [True, False]]
    assert np.isfinite(faded.z).tolist() == [[False, True], [False, True]]
    assert faded.opacity < clear.opacity


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


def lines(figure, name) -> list[tuple]:
    """The line pieces of a trace, each ((x, y), (x, y)), sorted."""
    trace = [trace for trace in figure.data if trace.name == name][-1]
    points = list(zip(trace.x, trace.y, strict=True))
    return sorted(tuple(sorted(points[i : i + 2])) for i in range(0, len(points), 3))


def test_the_selected_head_is_framed():
    figure = head_heatmap(np.ones((4, 4)), np.ones((4, 4)), quantity="z_ppl", selected=[(3, 1)])
    assert lines(figure, "selected") == sorted([
        ((0.5, 2.5), (1.5, 2.5)), ((0.5, 3.5), (1.5, 3.5)), ((0.5, 2.5), (0.5, 3.5)), ((1.5, 2.5), (1.5, 3.5)),
    ])  # fmt: skip


def test_protected_heads_are_outlined_as_a_region_and_pruned_ones_crossed():
    figure = head_heatmap(
        np.ones((3, 3)), np.ones((3, 3)), quantity="z_bias", protected=[(0, 0), (0, 1)], pruned=[(2, 2)]
    )
    edges = lines(figure, "protected")
    assert ((0.5, -0.5), (0.5, 0.5)) not in edges  # no line between two protected heads
    assert len(edges) == 6
    cross = [value for pair in lines(figure, "pruned") for point in pair for value in point]
    assert len(cross) == 8
    assert all(1.5 < value < 2.5 for value in cross)


@given(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 3))))
def test_an_outline_has_an_edge_wherever_a_head_meets_one_outside_the_set(heads):
    x, y = boundary((5, 4), heads)
    expected = sum((layer + dy, head + dx) not in heads
                   for layer, head in heads for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)))  # fmt: skip
    assert len(x) == len(y) == 3 * expected


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


def scatter(z_ppl, z_bias, **options):
    heads = [divmod(i, 4) for i in range(len(z_ppl))]
    return head_scatter(np.array(z_ppl), np.full(len(z_ppl), 0.1), np.array(z_bias), np.full(len(z_ppl), 0.1), heads,
                        **options)  # fmt: skip


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


def test_head_groups_shows_the_most_toxic_group_on_top_and_escapes_names():
    effects = [
        GroupEffect(name, Estimate(value, 0.01, 9), Estimate(value + 0.05, 0.02, 9), Estimate(0.05, 0.003, 9))
        for name, value in (("other_group", 0.3), ("<b>x</b>", 0.1))
    ]
    figure = head_groups(effects)
    without, with_head = figure.data
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b&gt;x&lt;/b&gt;", "other group"]
    assert list(with_head.x) == [0.1, 0.3]
    assert list(without.x) == pytest.approx([0.15, 0.35])
    assert without.error_x.array[0] == pytest.approx(1.96 * 0.02, abs=1e-3)
    assert "change +0.0500 ± 0.0030" in with_head.text[0]


def test_the_scatter_rings_the_selected_head_with_its_own_bars():
    ring = next(t for t in scatter([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], selected=[(0, 2)]).data if t.name == "selected")
    assert (ring.y[0], ring.error_y.array[0]) == (2.0, 0.1)


def test_intervals_are_drawn_at_95_percent_and_missing_parts_left_out():
    before, after = Estimate(24.0, 1.0, 10), Estimate(25.0, 0.5, 10)  # many degrees of freedom: ± 1.96 standard errors
    figure = effect_intervals(before, after, 26.0)
    drawn = {trace.y[0]: (trace.x[0], trace.error_x.array[0]) for trace in figure.data}
    assert drawn["before"] == (24.0, pytest.approx(1.96, abs=1e-3))
    assert drawn["measured"] == (25.0, pytest.approx(0.98, abs=1e-3))
    assert drawn["predicted"][0] == 26.0
    assert [trace.y[0] for trace in effect_intervals(before, None, None).data] == ["before"]


def test_group_bars_sort_by_toxicity_and_escape_names():
    before = {"<b>x</b>": Estimate(0.1, 0.01, 5), "other_group": Estimate(0.3, float("nan"), 1)}
    figure = group_bars(before, before)
    assert list(figure.data[0].y) == ["&lt;b&gt;x&lt;/b&gt;", "other group"]
    assert list(figure.data[0].error_x.array) == [pytest.approx(0.0196, abs=1e-4), 0]


@pytest.mark.parametrize("dark", [False, True])
def test_every_chart_takes_its_colours_from_the_theme_so_that_a_saved_image_is_readable(dark):
    estimate = Estimate(1.0, 0.1, 3)
    figures = [
        head_heatmap(np.ones((3, 3)), np.ones((3, 3)), quantity="z_bias", dark=dark),
        selection_map(3, 3, protected=[], pruned=[], dark=dark),
        scatter([0.0, 1.0], [0.0, 1.0], dark=dark),
        effect_intervals(estimate, estimate, 1.0, dark=dark),
        group_bars({"a": estimate}, {"a": estimate}, dark=dark),
    ]
    for figure in figures:
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == (DARK if dark else LIGHT).page
        assert figure.layout.font.color == (DARK if dark else LIGHT).text


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("colours", "background"), [(LIGHT, "#ffffff"), (DARK, "#15181c")])
def test_text_and_marks_have_enough_contrast(colours, background):
    def contrast(colour: str) -> float:
        high, low = sorted((luminance(colour), luminance(background)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert contrast(colours.text) >= 7
    assert contrast(colours.muted) >= 4.5
    for mark in (colours.before, colours.protected, colours.pruned, colours.selected):
        assert contrast(mark) >= 3


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_diverging_colours_grow_away_from_zero_to_both_sides(colours):
    background = luminance(colours.grid)
    for scale in (colours.z_ppl, colours.z_bias):
        distance = [abs(luminance(colour) - background) for _, colour in scale]
        assert distance[0] > distance[1] > distance[2] < distance[3] < distance[4]


def test_charts_never_import_torch_or_streamlit():
    code = "import sys, fasp_core.figures, fasp_core.summaries, fasp_core.captions; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "streamlit"} & set(loaded)


# Machado, Oliveira, Fernandes 2009, severity 1: what is left of linear RGB in each form of colour blindness.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour: str, form: str) -> np.ndarray:
    """CIE L*a*b* of a colour as seen with a form of colour blindness."""
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLINDNESS[form]) @ linear, 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x, y, z = np.cbrt(np.array(to_xyz) @ seen / [0.95047, 1.0, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("form", BLINDNESS)
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_that_must_not_be_confused_stay_apart_for_the_colour_blind(colours, form):
    def distance(one: str, other: str) -> float:
        return float(np.linalg.norm(lab(one, form) - lab(other, form)))

    pairs = [
        (colours.protected, colours.pruned), (colours.protected, colours.kept), (colours.pruned, colours.kept),
        (colours.before, colours.pruned),
        *((scale[0][1], scale[-1][1]) for scale in (colours.z_ppl, colours.z_bias)),
        *((scale[1][1], scale[-2][1]) for scale in (colours.z_ppl, colours.z_bias)),
    ]  # fmt: skip
    assert min(distance(*pair) for pair in pairs) > 20
