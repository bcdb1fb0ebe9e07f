"""Marks on a map of heads that need no colour: an outline around protected heads, a cross on pruned ones, dots.

Lines scale with the cells on every size of screen. Each is drawn twice, broad in the colour of the page and thin in
that of text, so that it stands out on every cell. All lines of a kind are one path: plotly makes an element of every
piece of a line with gaps, and a browser takes seconds for the thousands of a large map.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import plotly.graph_objects as go

from fasp_core.figures.palette import Palette
from fasp_core.figures.style import row_height
from fasp_core.head import Head


def add_marks(
    figure: go.Figure,
    shape: tuple[int, int],
    colours: Palette,
    *,
    protected: Iterable[Head] = (),
    pruned: Iterable[Head] = (),
    selected: Iterable[Head] = (),
) -> None:
    """Outline the protected heads as a region, cross the pruned ones, and frame the selected ones thickly.

    On a map of many layers lines are thinner, so that they do not hide the cells.
    """
    thin = min(1.0, row_height(shape[0]) / 14)
    marks = (
        ("protected", boundary(shape, protected), 1.4 * thin),
        ("pruned", crosses(pruned), 1.4 * thin),
        ("selected", boundary(shape, selected), 3.0),
    )
    figure.layout.shapes = [
        {
            "type": "path",
            "path": path,
            "name": name,
            "line": {"color": colour, "width": width + wider},
        }
        for name, path, width in marks
        if path
        for colour, wider in ((colours.surface, 2.2 * thin), (colours.selected, 0.0))
    ]


def add_dots(figure: go.Figure, shape: tuple[int, int], colours: Palette, marked: np.ndarray) -> None:
    """A dot in the upper right of each marked head's cell; `marked` is (layers, heads) bool."""
    layer, head = np.nonzero(marked)
    if not layer.size:
        return
    figure.add_scatter(
        x=head + 0.3,
        y=layer - 0.28,
        mode="markers",
        hoverinfo="skip",
        name="clear",
        showlegend=False,
        marker={
            "size": min(5.0, 0.3 * row_height(shape[0])),
            "color": colours.selected,
            "line": {"color": colours.surface, "width": 0.8},
        },
    )


def boundary(shape: tuple[int, int], heads: Iterable[Head]) -> str:
    """The edges between the heads of a set and the others as an SVG path, each straight run one line.

    x is head, y layer; "" for an empty set.
    """
    inside = np.zeros((shape[0] + 2, shape[1] + 2), bool)
    for layer, head in heads:
        inside[layer + 1, head + 1] = True
    across = _runs(inside[1:, :] != inside[:-1, :])
    down = _runs((inside[:, 1:] != inside[:, :-1]).T)
    return "".join(
        [f"M{start - 1.5:g},{row - 0.5:g}H{stop - 1.5:g}" for row, start, stop in across]
        + [f"M{column - 0.5:g},{start - 1.5:g}V{stop - 1.5:g}" for column, start, stop in down]
    )


def crosses(heads: Iterable[Head], size: float = 0.26) -> str:
    """A cross in the middle of each head's cell, as an SVG path."""
    return "".join(
        f"M{head - size:g},{layer - end:g}L{head + size:g},{layer + end:g}"
        for layer, head in sorted(heads)
        for end in (size, -size)
    )


def _runs(edges: np.ndarray) -> list[list[int]]:
    """Row, first and one behind the last column of each run of true values along the rows of `edges`."""
    steps = np.diff(np.pad(edges.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    return np.column_stack([np.argwhere(steps == 1), np.argwhere(steps == -1)[:, 1]]).tolist()
