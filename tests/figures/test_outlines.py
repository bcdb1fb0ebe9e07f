"""Outlines, crosses and frames on a map, as line pieces."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.figures import head_heatmap
from fasp_core.figures.outlines import boundary


def lines(figure, name) -> list[tuple]:
    """The line pieces of a trace, each ((x, y), (x, y)), sorted."""
    trace = [trace for trace in figure.data if trace.name == name][-1]
    points = list(zip(trace.x, trace.y, strict=True))
    return sorted(tuple(sorted(points[i : i + 2])) for i in range(0, len(points), 3))


def test_the_selected_head_is_framed():
    figure = head_heatmap(np.ones((4, 4)), np.ones((4, 4)), quantity="z_ppl", selected=[(3, 1)])
    assert lines(figure, "selected") == sorted(
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
    edges = lines(figure, "protected")
    assert ((0.5, -0.5), (0.5, 0.5)) not in edges  # no line between two protected heads
    assert len(edges) == 6
    cross = [value for pair in lines(figure, "pruned") for point in pair for value in point]
    assert len(cross) == 8
    assert all(1.5 < value < 2.5 for value in cross)


@given(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 3))))
def test_an_outline_has_an_edge_wherever_a_head_meets_one_outside_the_set(heads):
    x, y = boundary((5, 4), heads)
    expected = sum(
        (layer + dy, head + dx) not in heads for layer, head in heads for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0))
    )
    assert len(x) == len(y) == 3 * expected
