"""Maps of heads: one quantity of every head, and which heads a selection protects, keeps and prunes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go

from fasp_core.figures.outlines import add_dots, add_marks
from fasp_core.figures.palette import palette
from fasp_core.figures.style import LEGEND, add_targets, lay_out_map, map_height, row_height
from fasp_core.head import Head
from fasp_core.stats.normal import differs_from_zero
from fasp_core.words.numbers import colour_limit, format_estimate, format_number

MOST_CELLS_WITH_GAPS = 2000
MUTED_OPACITY = 0.3


def head_heatmap(
    values: np.ndarray,
    errors: np.ndarray,
    *,
    quantity: str,
    selected: Iterable[Head] = (),
    protected: Iterable[Head] = (),
    pruned: Iterable[Head] = (),
    relative: bool = False,
    several: bool = False,
    muted: bool = False,
    dark: bool = False,
) -> go.Figure:
    """One quantity, `z_ppl` or `z_bias`, of every head.

    `values` and `errors` (standard errors, NaN where unknown) are (layers, heads). Colours diverge from 0 and end at
    `colour_limit`; a dot marks heads whose 95 % interval leaves out zero, unless the values are `relative` to the
    median head, where zero means nothing. `protected` heads are outlined as a region,
    `pruned` ones crossed, `selected` ones framed. With `several`, dragging draws a box that selects all heads in it.
    `muted` fades every head: there is nothing to rank.
    """
    values, errors = np.asarray(values, dtype=float), np.asarray(errors, dtype=float)
    colours, limit = palette(dark), colour_limit(values)
    scale = colours.z_ppl if quantity == "z_ppl" else colours.z_bias
    clear = differs_from_zero(values, errors) & np.isfinite(errors) & (not (relative or muted))
    gap = 1 if values.size <= MOST_CELLS_WITH_GAPS else 0
    figure = go.Figure()
    opacity = MUTED_OPACITY if muted else None
    figure.add_heatmap(z=values, coloraxis="coloraxis", opacity=opacity, hoverinfo="skip", xgap=gap, ygap=gap)
    add_dots(figure, values.shape, colours, clear)
    add_marks(figure, values.shape, colours, protected=protected, pruned=pruned, selected=selected)
    add_targets(figure, values.shape, hover_texts(quantity, values.ravel(), errors.ravel(), relative=relative))
    beyond = (bool((values < -limit).any()), bool((values > limit).any()))
    labels = [("≤ " if beyond[0] else "") + _end(-limit), "0", ("≥ " if beyond[1] else "") + _end(limit)]
    lay_out_map(
        figure,
        values.shape,
        colours,
        several=several,
        margin={"b": 76},
        height=map_height(values.shape[0]) + 106,
        coloraxis={
            "colorscale": [list(stop) for stop in scale],
            "cmin": -limit,
            "cmax": limit,
            "colorbar": {
                "orientation": "h",
                "y": 0,
                "yanchor": "top",
                "ypad": 40,
                "x": 0.5,
                "len": 0.85,
                "thickness": 8,
                "tickvals": [-limit, 0.0, limit],
                "ticktext": labels,
                "outlinewidth": 0,
                "tickfont": {"color": colours.muted},
            },
        },
    )
    return figure


@lru_cache(maxsize=32)
def _hover_texts(quantity: str, values: bytes, errors: bytes, relative: bool) -> tuple[str, ...]:
    pairs = np.frombuffer(values), np.frombuffer(errors)
    against = "<br>relative to the median head" if relative else ""
    unclear = "" if relative else "<br>not distinguishable from 0"
    return tuple(
        f"{quantity} {format_estimate(value, error, signed=True)}{against}" + ("" if sure else unclear)
        for value, error, sure in zip(*pairs, differs_from_zero(*pairs), strict=True)
    )


def hover_texts(quantity: str, values: np.ndarray, errors: np.ndarray, *, relative: bool = False) -> tuple[str, ...]:
    """The hover text of each head; cached, because a map is drawn again with every click."""
    return _hover_texts(quantity, np.asarray(values, float).tobytes(), np.asarray(errors, float).tobytes(), relative)


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
            x=[None],
            y=[None],
            mode="markers",
            name=f"{name} {count}",
            showlegend=True,
            marker={"symbol": "square", "size": 11, "color": fill, "line": {"color": colours.grid, "width": 1}},
        )
    size = min(8.0, 0.55 * row_height(n_layers))
    marks = ((protected, "circle", size * 0.5), (pruned, "x-thin", size))
    for heads, symbol, mark_size in marks:
        figure.add_scatter(
            x=[head for _, head in heads],
            y=[layer for layer, _ in heads],
            mode="markers",
            hoverinfo="skip",
            showlegend=False,
            marker={
                "symbol": symbol,
                "size": mark_size,
                "color": "#ffffff",
                "line": {"color": "#ffffff", "width": 1.5},
            }
            if symbol == "x-thin"
            else {"symbol": symbol, "size": mark_size, "color": "#ffffff", "opacity": 0.75},
        )
    notes = notes or [""] * kinds.size
    kind_names = [names[int(kind)] for kind in kinds.ravel()]
    texts = [f"{name}<br>{note}" if note else name for name, note in zip(kind_names, notes, strict=True)]
    add_marks(figure, shape, colours, selected=[] if selected is None else [selected])
    add_targets(figure, shape, texts)
    lay_out_map(
        figure,
        shape,
        colours,
        margin={"b": 42, "t": 54},  # two rows of the legend, where the chart is narrow
        height=map_height(n_layers) + 96,
        showlegend=True,
        legend=LEGEND,
    )
    return figure


def _end(limit: float) -> str:
    return format_number(limit, abs(limit) / 5, signed=True)
