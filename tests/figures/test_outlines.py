"""Outlines, crosses and frames on a map, as line pieces."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.figures import head_heatmap
from fasp_core.figures.outlines import boundary, crosses


def edges(path: str) -> list[tuple]:
    """The unit lengths of the straight lines of a path of whole steps, each ((x, y), (x, y)), sorted."""
    units = []
    for piece in re.findall(r"M[^M]+", path):
        x, y, way, end = re.fullmatch(r"M([-.\d]+),([-.\d]+)([HV])([-.\d]+)", piece).groups()
        start, end = (float(x), float(y)), (float(end), float(y)) if way == "H" else (float(x), float(end))
        steps = round(abs(end[0] - start[0]) + abs(end[1] - start[1]))
        assert steps
        points = [tuple(a + (b - a) * i / steps for a, b in zip(start, end, strict=True)) for i in range(steps + 1)]
        units += [tuple(sorted(pair)) for pair in pairwise(points)]
    return sorted(units)


def path_of(figure, name: str) -> str:
    """The path of a mark, drawn broad in the page's colour and thin in that of text."""
    broad, thin = (shape for shape in figure.layout.shapes if shape.name == name)
    assert broad.path == thin.path
    assert broad.line.width > thin.line.width
    return thin.path


def test_the_selected_head_is_framed():
    figure = head_heatmap(np.ones((4, 4)), np.ones((4, 4)), quantity="z_ppl", selected=[(3, 1)])
    assert edges(path_of(figure, "selected")) == sorted(
        [
            ((0.5, 2.5), (1.5, 2.5)),
            ((0.5, 3.5), (1.5, 3.5)),
            ((0.5, 2.5), (0.5, 3.5)),
            ((1.5, 2.5), (1.5, 3.5)),
        ]
    )


def test_protected_heads_are_outlined_as_a_region_and_pruned_ones_crossed():
    figure = head_heatmap(
        np.ones((3, 3)), np.ones((3, 3)), quantity="z_bias", protected=[(0, 0), (0, 1)], pruned=[(2, 2)]
    )
    outline = edges(path_of(figure, "protected"))
    assert ((0.5, -0.5), (0.5, 0.5)) not in outline  # no line between two protected heads
    assert len(outline) == 6
    assert path_of(figure, "pruned") == "M1.74,1.74L2.26,2.26M1.74,2.26L2.26,1.74"


SHAPE = (5, 4)
SETS = st.sets(st.tuples(st.integers(0, 4), st.integers(0, 3)))


@given(SETS)
def test_an_outline_has_an_edge_wherever_a_head_meets_one_outside_the_set(heads):
    expected = [
        tuple(
            sorted(
                ((head + dx / 2 - dy / 2, layer + dy / 2 - dx / 2), (head + dx / 2 + dy / 2, layer + dy / 2 + dx / 2))
            )
        )
        for layer, head in heads
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0))
        if (layer + dy, head + dx) not in heads
    ]
    assert edges(boundary(SHAPE, heads)) == sorted(expected)


def test_a_straight_run_of_an_outline_is_one_line_and_an_empty_set_has_none():
    whole = [(layer, head) for layer in range(5) for head in range(4)]
    assert sorted(re.findall(r"M[^M]+", boundary(SHAPE, whole))) == [
        "M-0.5,-0.5H3.5",
        "M-0.5,-0.5V4.5",
        "M-0.5,4.5H3.5",
        "M3.5,-0.5V4.5",
    ]
    assert boundary(SHAPE, []) == crosses([]) == ""


def test_a_large_map_is_few_elements_of_the_page():
    """plotly makes an element of each piece of a line with gaps, and of each marker: thousands take seconds to draw."""
    shape, rng = (80, 64), np.random.default_rng(0)
    order = [divmod(int(i), 64) for i in rng.permutation(80 * 64)]
    figure = head_heatmap(
        rng.normal(size=shape),
        np.full(shape, np.nan),
        quantity="z_bias",
        protected=order[:1536],
        pruned=order[1536:2048],
        selected=order[:1],
    )
    assert [trace.type for trace in figure.data] == ["heatmap", "scatter"]
    assert figure.data[1].marker.maxdisplayed == 1
    assert len(figure.layout.shapes) == 6
    assert len(figure.to_json()) < 500_000  # 1.2 MB with an edge of its own for every side of a cell
