"""Marks on a map of heads that need no colour: an outline around protected heads, a cross on pruned ones, as lines.

Lines scale with the cells, whatever the size of the screen. Each is drawn twice, broad in the colour of the page and
thin in that of text, so that it is seen on every cell.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import plotly.graph_objects as go

from ..palette import Palette
from ..selection import Head

Line = tuple[list[float | None], list[float | None]]


def add_marks(
    figure: go.Figure,
    shape: tuple[int, int],
    colours: Palette,
    *,
    protected: Iterable[Head] = (),
    pruned: Iterable[Head] = (),
    selected: Iterable[Head] = (),
) -> None:
    """Outline the protected heads as a region, cross the pruned ones, and frame the selected ones thickly."""
    marks = (
        ("protected", boundary(shape, protected), 1.4),
        ("pruned", crosses(pruned), 1.4),
        ("selected", boundary(shape, selected), 3.0),
    )
    for name, (x, y), width in marks:
        for colour, wider in ((colours.surface, 2.2), (colours.selected, 0.0)):
            figure.add_scatter(
                x=x, y=y, mode="lines", hoverinfo="skip", name=name, showlegend=False,
                line={"color": colour, "width": width + wider, "simplify": False},
            )  # fmt: skip


def boundary(shape: tuple[int, int], heads: Iterable[Head]) -> Line:
    """The edges between the heads of a set and the others, as line pieces; `x` is head, `y` layer."""
    inside = np.zeros((shape[0] + 2, shape[1] + 2), bool)
    for layer, head in heads:
        inside[layer + 1, head + 1] = True
    x: list[float | None] = []
    y: list[float | None] = []
    for layer, head in zip(*np.nonzero(inside[1:, :] != inside[:-1, :]), strict=True):  # above row `layer`
        x += [head - 1.5, head - 0.5, None]
        y += [layer - 0.5, layer - 0.5, None]
    for layer, head in zip(*np.nonzero(inside[:, 1:] != inside[:, :-1]), strict=True):  # left of column `head`
        x += [head - 0.5, head - 0.5, None]
        y += [layer - 1.5, layer - 0.5, None]
    return [None if v is None else float(v) for v in x], [None if v is None else float(v) for v in y]


def crosses(heads: Iterable[Head], size: float = 0.26) -> Line:
    """A cross in the middle of each head's cell."""
    x: list[float | None] = []
    y: list[float | None] = []
    for layer, head in sorted(heads):
        x += [head - size, head + size, None, head - size, head + size, None]
        y += [layer - size, layer + size, None, layer + size, layer - size, None]
    return x, y
