"""Marks on a map of heads that need no colour: an outline around protected heads, a cross on pruned ones, dots.

Lines scale with the cells on every size of screen. Each is drawn twice, broad in the colour of the page and thin in
that of text, so that it stands out on every cell.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import plotly.graph_objects as go

from fasp_core.figures.palette import Palette
from fasp_core.figures.style import row_height
from fasp_core.head import Head

Line = tuple[np.ndarray, np.ndarray]  # x and y of line pieces, NaN between them


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
    for name, (x, y), width in marks:
        if not len(x):
            continue  # plotly takes its time for empty traces too
        for colour, wider in ((colours.surface, 2.2 * thin), (colours.selected, 0.0)):
            figure.add_scatter(
                x=x,
                y=y,
                mode="lines",
                hoverinfo="skip",
                name=name,
                showlegend=False,
                line={"color": colour, "width": width + wider, "simplify": False},
            )


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


def boundary(shape: tuple[int, int], heads: Iterable[Head]) -> Line:
    """The edges between the heads of a set and the others; x is head, y layer."""
    inside = np.zeros((shape[0] + 2, shape[1] + 2), bool)
    for layer, head in heads:
        inside[layer + 1, head + 1] = True
    row, column = np.nonzero(inside[1:, :] != inside[:-1, :])  # an edge above row − ½, over the width of the column
    across = np.stack([column - 1.5, column - 0.5]), np.stack([row - 0.5, row - 0.5])
    row, column = np.nonzero(inside[:, 1:] != inside[:, :-1])
    down = np.stack([column - 0.5, column - 0.5]), np.stack([row - 1.5, row - 0.5])
    x, y = (np.concatenate(pair, axis=1) for pair in zip(across, down, strict=True))
    return _pieces(x), _pieces(y)


def crosses(heads: Iterable[Head], size: float = 0.26) -> Line:
    """A cross in the middle of each head's cell."""
    layer, head = np.array(sorted(heads), float).reshape(-1, 2).T
    ends = np.array([-size, size])[:, None]
    x = np.concatenate([head + ends, head + ends], axis=1)
    y = np.concatenate([layer + ends, layer - ends], axis=1)
    return _pieces(x), _pieces(y)


def _pieces(ends: np.ndarray) -> np.ndarray:
    """Both ends of each piece, (2, n), one piece after the other with a gap behind each, (3n)."""
    return np.concatenate([ends, np.full((1, ends.shape[1]), np.nan)]).T.ravel()
