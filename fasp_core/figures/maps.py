"""Maps of heads: one quantity of every head, and what becomes of every head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go

from ..numbers import differs_from_zero, format_estimate, format_number
from ..palette import palette
from ..selection import Head
from .outlines import add_marks
from .style import LEGEND, add_targets, colour_limit, lay_out_map, map_height, row_height

_MUTED_OPACITY = 0.3
MOST_CELLS_WITH_GAPS = 2000


def head_heatmap(
    values: np.ndarray,
    errors: np.ndarray,
    *,
    quantity: str,
    selected: Iterable[Head] = (),
    protected: Iterable[Head] = (),
    pruned: Iterable[Head] = (),
    several: bool = False,
    dark: bool = False,
) -> go.Figure:
    """One quantity, `z_ppl` or `z_bias`, of every head.

    `values` and `errors` (standard errors, NaN where unknown) are (layers, heads). Colours diverge from 0 and end at
    `colour_limit`; heads whose 95 % interval includes zero are faded. `protected` heads are outlined as a region,
    `pruned` ones crossed, `selected` ones framed. With `several`, dragging draws a box that selects all heads in it.
    """
    values, errors = np.asarray(values, dtype=float), np.asarray(errors, dtype=float)
    colours, limit = palette(dark), colour_limit(values)
    scale = colours.z_ppl if quantity == "z_ppl" else colours.z_bias
    clear = differs_from_zero(values, errors)
    gap = 1 if values.size <= MOST_CELLS_WITH_GAPS else 0
    figure = go.Figure()
    for mask, opacity in ((clear, 1.0), (~clear, _MUTED_OPACITY)):
        figure.add_heatmap(
            z=np.where(mask, values, np.nan),
            coloraxis="coloraxis",
            opacity=opacity,
            hoverinfo="skip",
            xgap=gap,
            ygap=gap,
        )
    add_marks(figure, values.shape, colours, protected=protected, pruned=pruned, selected=selected)
    add_targets(figure, values.shape, hover_texts(quantity, values.ravel(), errors.ravel()))
    beyond = (bool((values < -limit).any()), bool((values > limit).any()))
    labels = [("≤ " if beyond[0] else "") + _end(-limit), "0", ("≥ " if beyond[1] else "") + _end(limit)]
    lay_out_map(
        figure, values.shape, colours, several=several, margin={"b": 76}, height=map_height(values.shape[0]) + 106,
        coloraxis={
            "colorscale": [list(stop) for stop in scale], "cmin": -limit, "cmax": limit,
            "colorbar": {
                "orientation": "h", "y": 0, "yanchor": "top", "ypad": 40, "x": 0.5, "len": 0.85, "thickness": 8,
                "tickvals": [-limit, 0.0, limit], "ticktext": labels, "outlinewidth": 0,
                "tickfont": {"color": colours.muted},
            },
        },
    )  # fmt: skip
    return figure


@lru_cache(maxsize=32)
def _hover_texts(quantity: str, values: bytes, errors: bytes) -> tuple[str, ...]:
    pairs = np.frombuffer(values), np.frombuffer(errors)
    return tuple(
        f"{quantity} {format_estimate(value, error, signed=True)}" + ("" if sure else "<br>not distinguishable from 0")
        for value, error, sure in zip(*pairs, differs_from_zero(*pairs), strict=True)
    )


def hover_texts(quantity: str, values: np.ndarray, errors: np.ndarray) -> tuple[str, ...]:
    """What is shown of each head under the pointer; kept, since a map is drawn again with every click."""
    return _hover_texts(quantity, np.asarray(values, float).tobytes(), np.asarray(errors, float).tobytes())


def selection_map(
    n_layers: int,
    heads_per_layer: int,
    *,
    protected: Iterable[Head],
    pruned: Iterable[Head],
    notes: Sequence[str] | None = None,
    selected: Head | None = None,
    dark: bool = False,
) -> go.Figure:
    """Which heads are protected, kept and pruned; pruned heads also carry a cross, protected ones a dot.

    `notes` are lines shown on hover, one per head, ordered by flat id; they may hold `<br>`, other text is escaped
    by the caller.
    """
    shape, colours = (n_layers, heads_per_layer), palette(dark)
    protected, pruned = sorted(set(protected)), sorted(set(pruned))
    kinds = np.ones(shape)
    for heads, kind in ((protected, 0), (pruned, 2)):
        for layer, head in heads:
            kinds[layer, head] = kind
    counts = (len(protected), kinds.size - len(protected) - len(pruned), len(pruned))
    names = ("protected", "kept", "pruned")
    fills = (colours.protected, colours.kept, colours.pruned)
    steps = [[stop, fill] for i, fill in enumerate(fills) for stop in (i / 3, (i + 1) / 3)]
    figure = go.Figure(
        go.Heatmap(z=kinds, zmin=0, zmax=2, colorscale=steps, showscale=False, hoverinfo="skip", xgap=1, ygap=1)
    )
    for name, fill, count in zip(names, fills, counts, strict=True):
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=f"{name} {count}", showlegend=True,
            marker={"symbol": "square", "size": 11, "color": fill, "line": {"color": colours.grid, "width": 1}},
        )  # fmt: skip
    size = min(8.0, 0.55 * row_height(n_layers))
    marks = ((protected, "circle", size * 0.5), (pruned, "x-thin", size))
    for heads, symbol, mark_size in marks:
        figure.add_scatter(
            x=[head for _, head in heads], y=[layer for layer, _ in heads], mode="markers", hoverinfo="skip",
            showlegend=False,
            marker={
                "symbol": symbol, "size": mark_size, "color": "#ffffff", "line": {"color": "#ffffff", "width": 1.5},
            } if symbol == "x-thin" else {"symbol": symbol, "size": mark_size, "color": "#ffffff", "opacity": 0.75},
        )  # fmt: skip
    notes = notes or [""] * kinds.size
    kind_names = [names[int(kind)] for kind in kinds.ravel()]
    texts = [f"{name}<br>{note}" if note else name for name, note in zip(kind_names, notes, strict=True)]
    add_marks(figure, shape, colours, selected=[] if selected is None else [selected])
    add_targets(figure, shape, texts)
    lay_out_map(
        figure, shape, colours, margin={"b": 42, "t": 34}, height=map_height(n_layers) + 76, showlegend=True,
        legend=LEGEND,
    )  # fmt: skip
    return figure


def _end(limit: float) -> str:
    return format_number(limit, abs(limit) / 5, signed=True)
