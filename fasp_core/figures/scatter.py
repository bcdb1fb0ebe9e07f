"""Every head as a point: how much it drives bias against how much the model needs it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import plotly.graph_objects as go

from fasp_core.figures.palette import Palette, palette
from fasp_core.figures.style import LEGEND, lay_out
from fasp_core.head import Head
from fasp_core.words.numbers import format_estimate

MOST_ERROR_BARS = 600


def head_scatter(
    z_ppl: np.ndarray,
    z_ppl_se: np.ndarray,
    z_bias: np.ndarray,
    z_bias_se: np.ndarray,
    heads: Sequence[Head],
    *,
    selected: Iterable[Head] = (),
    protected: Iterable[Head] = (),
    pruned: Iterable[Head] = (),
    score: str = "z_bias",
    several: bool = False,
    dark: bool = False,
) -> go.Figure:
    """A `score` against z_ppl, one marker per head (arrays in the order of `heads`), with bars of one standard error.

    `protected` heads are squares right of the γ cut, a dashed line half-way to the next head; `pruned` ones crosses.
    z_ppl has long tails, so its axis is linear near 0 and logarithmic far out (asinh); its ticks name true values.
    Above `MOST_ERROR_BARS` heads only the selected ones have bars; all show their errors on hover.
    """
    colours, unit = palette(dark), _linear_part(z_ppl)
    x, y = np.arcsinh(np.asarray(z_ppl, dtype=float) / unit), np.asarray(z_bias, dtype=float)
    low, high = (np.arcsinh((z_ppl + sign * np.nan_to_num(z_ppl_se)) / unit) for sign in (-1, 1))
    place = {head: i for i, head in enumerate(heads)}
    chosen, safe, gone = ([place[head] for head in some if head in place] for some in (selected, protected, pruned))
    symbols = np.full(len(heads), "circle", dtype="<U8")
    symbols[safe], symbols[gone] = "square", "x"

    def bars(which: slice | list[int], colour: str) -> dict[str, Any]:
        look = {"color": colour, "thickness": 1, "width": 0}
        x_bars = {"array": (high - x)[which].tolist(), "arrayminus": (x - low)[which].tolist(), **look}
        return {"error_x": x_bars, "error_y": {"array": np.nan_to_num(z_bias_se)[which].tolist(), **look}}

    few = len(heads) <= MOST_ERROR_BARS
    visible: dict[str, Any] = {"marker": {"opacity": 0.9}}
    texts = _hover_texts(
        score, tuple(heads), *(np.asarray(v, float).tobytes() for v in (z_ppl, z_ppl_se, y, z_bias_se))
    )
    figure = go.Figure(
        {
            "type": "scatter",  # not a go.Scatter: plotly would check the values of all heads twice
            "x": x.astype(np.float32),  # far finer than a pixel, in a third of the bytes
            "y": y.astype(np.float32),
            "mode": "markers",
            "text": texts,
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {
                "size": 7 if few else 5,
                "opacity": 0.9,
                "color": (y > 0).astype(np.int8),
                "cmin": 0,
                "cmax": 1,
                "colorscale": [[0, colours.before], [1, colours.pruned]],
                "symbol": symbols.tolist(),
            },
            "name": "heads",
            "showlegend": False,
            "selected": visible,
            "unselected": visible,
            **(bars(slice(None), colours.faint) if few else {}),
        }
    )
    for name, symbol, there in (("protected", "square", safe), ("kept", "circle", True), ("pruned", "x", gone)):
        if (safe or gone) and there:
            figure.add_scatter(
                x=[None], y=[None], mode="markers", name=name, marker={"symbol": symbol, "color": colours.muted}
            )
    if chosen:
        figure.add_scatter(
            x=x[chosen].tolist(),
            y=y[chosen].tolist(),
            mode="markers",
            hoverinfo="skip",
            showlegend=False,
            **bars(chosen, colours.selected),
            name="selected",
            marker={"size": 15, "symbol": "circle-open", "color": colours.selected, "line": {"width": 2}},
        )
    _add_cut(figure, x, safe, colours)
    axis = {
        "gridcolor": colours.grid,
        "zeroline": True,
        "zerolinecolor": colours.muted,
        "zerolinewidth": 1,
        "automargin": True,
        "fixedrange": True,
    }
    ticks = _asinh_ticks(float(np.nanmin(z_ppl)), float(np.nanmax(z_ppl)), unit)
    lay_out(
        figure,
        colours,
        height=440,
        margin={"l": 8, "r": 8, "t": 34, "b": 8},
        clickmode="event+select",
        dragmode="select" if several else False,
        newselection={"line": {"color": colours.selected, "width": 1}},
        showlegend=True,
        legend=LEGEND,
        xaxis={
            **axis,
            "title": {"text": "z_ppl · the model needs it →"},
            "tickvals": np.arcsinh(np.divide(ticks, unit)).tolist(),
            "ticktext": [f"{tick:g}".replace("-", "−") for tick in ticks],
        },
        yaxis={**axis, "title": {"text": f"{score} · drives {score.removeprefix('z_')} →"}},
    )
    return figure


def _add_cut(figure: go.Figure, x: np.ndarray, protected: list[int], colours: Palette) -> None:
    """A dashed line half-way between the protected heads and the others, on the axis as drawn."""
    others = np.setdiff1d(np.flatnonzero(np.isfinite(x)), protected)
    if len(protected) and others.size:
        cut = (x[protected].min() + x[others].max()) / 2
        figure.add_vline(
            x=float(cut),
            line={"color": colours.text, "width": 1.2, "dash": "dash"},
            layer="below",
            annotation={
                "text": "γ",
                "font": {"color": colours.text, "size": 14},
                "y": 1,
                "yanchor": "top",
                "xanchor": "left",
            },
        )


@lru_cache(maxsize=32)
def _hover_texts(score: str, heads: tuple[Head, ...], *columns: bytes) -> tuple[str, ...]:
    """The hover text of each head; cached, because a chart is drawn again with every click."""
    return tuple(
        f"layer {layer}, head {head}<br>z_ppl {format_estimate(ppl, ppl_se, signed=True)}"
        f"<br>{score} {format_estimate(bias, bias_se, signed=True)}"
        for (layer, head), ppl, ppl_se, bias, bias_se in zip(heads, *map(np.frombuffer, columns), strict=True)
    )


def _linear_part(values: np.ndarray) -> float:
    """Where an asinh axis turns from linear to logarithmic: the median |value|."""
    sizes = np.abs(np.asarray(values, dtype=float))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    return float(np.median(sizes)) if sizes.size else 1.0


def _asinh_ticks(low: float, high: float, unit: float) -> list[float]:
    """0, and ±1 × 10ⁿ and ±3 × 10ⁿ from about `unit` to the ends of the data."""
    first = math.floor(math.log10(unit))
    steps = [factor * 10.0**power for power in range(first, first + 12) for factor in (1, 3)]
    steps = [step for step in steps if step >= 0.9 * unit]
    ticks = [-step for step in steps if step <= -low] + [0.0] + [step for step in steps if step <= high]
    return sorted(float(f"{tick:.3g}") for tick in ticks)
