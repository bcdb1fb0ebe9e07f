"""What all charts share: the layout of a map and of a chart, the ends of its colours, its ticks. Pure functions.

Backgrounds are those of the app's theme, so that a saved image is as readable as the page. A map of heads has layers
downwards and heads to the right, layer 0 on top. plotly reports no clicks on a heatmap, so each map carries an
invisible marker per head: a click or selection on it gives `x` = head, `y` = layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..estimates import Estimate
from ..palette import Palette

# Without these, clicks that follow each other within 300 ms get lost, and dragging zooms.
MAP_CONFIG = {"displayModeBar": False, "doubleClick": False, "doubleClickDelay": 1, "scrollZoom": False}
CHART_CONFIG = {"displayModeBar": False, "doubleClick": False, "scrollZoom": False}

# Above the chart, and not to be clicked: that would hide what the words beside the chart speak of.
LEGEND = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False}


def saving(config: dict[str, Any], filename: str, image: str = "svg") -> dict[str, Any]:
    """A chart's configuration with one button, which saves the chart as `filename`.`image` (svg or png).

    The browser itself makes the file; no service and nothing but plotly is asked.
    """
    return {
        **config, "displayModeBar": True, "displaylogo": False, "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": {"format": image, "filename": filename, "scale": 2 if image == "png" else 1},
    }  # fmt: skip


def colour_limit(values: np.ndarray, share: float = 0.98) -> float:
    """Where the colours of a map end, so that one extreme head does not flatten the rest.

    The `share` quantile of |values|, rounded up to two digits; NaNs are left out. Never 0, so that a map without any
    effect still has a scale.
    """
    sizes = np.abs(np.asarray(values, dtype=float))
    sizes = sizes[np.isfinite(sizes)]
    limit = float(np.quantile(sizes, share)) if sizes.size else 0.0
    limit = limit or float(sizes.max(initial=0.0))
    limit = limit if limit > 1e-300 else 1.0
    unit = 10.0 ** (math.floor(math.log10(limit)) - 1)
    return float(f"{math.ceil(limit / unit - 1e-9) * unit:.1e}")


def add_targets(figure: go.Figure, shape: tuple[int, int], texts: Sequence[str]) -> None:
    """One invisible marker per head on top of a map: the thing that hovers, clicks and selections hit."""
    layers, heads = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    invisible: dict[str, Any] = {"marker": {"opacity": 0}}
    figure.add_scatter(
        x=heads.tolist(), y=layers.tolist(), mode="markers", text=list(texts), name="heads", showlegend=False,
        marker={"symbol": "square", "size": 6, "opacity": 0}, selected=invisible, unselected=invisible,
        hovertemplate="layer %{y}, head %{x}<br>%{text}<extra></extra>",
    )  # fmt: skip


def lay_out_map(
    figure: go.Figure, shape: tuple[int, int], colours: Palette, *, several: bool = False, **more: Any
) -> None:
    """The axes of a map of (layers, heads), layer 0 on top, and `more` of the layout.

    With `several`, dragging selects a box of heads; without, it does nothing, so that a page can be scrolled on a
    touch screen with the finger on a map.
    """
    n_layers, n_heads = shape
    axis = {"showgrid": False, "zeroline": False, "fixedrange": True, "ticks": "", "tick0": 0}
    more["margin"] = {"l": 46, "r": 4, "t": 30, "autoexpand": False} | more.get("margin", {})
    lay_out(
        figure, colours, clickmode="event+select", dragmode="select" if several else False, hoverdistance=100,
        newselection={"line": {"color": colours.selected, "width": 1}},
        xaxis={**axis, "title": {"text": "head", "standoff": 6}, "dtick": tick_step(n_heads, 16),
               "range": [-0.5, n_heads - 0.5]},
        yaxis={**axis, "title": {"text": "layer", "standoff": 6}, "dtick": tick_step(n_layers, 16),
               "range": [n_layers - 0.5, -0.5]},
        **more,
    )  # fmt: skip


def lay_out(figure: go.Figure, colours: Palette, **more: Any) -> None:
    """Background, fonts and hover labels of every chart, and `more` of its layout; what the figure has already stays.

    All at once: plotly takes ten times as long to update a layout piece by piece.
    """
    axis = {
        "tickfont": {"color": colours.muted, "size": 12}, "title": {"font": {"color": colours.muted, "size": 13}},
    }  # fmt: skip
    common = {
        "template": "none", "paper_bgcolor": colours.page, "plot_bgcolor": colours.page, "showlegend": False,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": colours.muted, "activecolor": colours.text},
        "font": {"color": colours.text, "size": 13, "family": '"Source Sans", "Source Sans 3", sans-serif'},
        "hoverlabel": {
            "bgcolor": colours.surface, "bordercolor": colours.grid, "font": {"color": colours.text, "size": 13},
        },
        "hovermode": "closest",
    }  # fmt: skip
    there = figure.layout.to_plotly_json()
    axes = {"xaxis", "yaxis", *(name for name in there if name[1:].startswith("axis"))}
    figure.layout = _merged(there, _merged(common | dict.fromkeys(axes, axis), more))


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Both, also inside; where both have a value, `over` wins."""
    inside = [key for key in over if isinstance(over[key], dict) and isinstance(under.get(key), dict)]
    return {**under, **over} | {key: _merged(under[key], over[key]) for key in inside}


def reference_line(colours: Palette) -> dict[str, Any]:
    """How the line of the intact model is drawn: `figure.add_vline(x=0, **reference_line(colours))`."""
    return {"line": {"color": colours.before, "width": 1, "dash": "dot"}, "layer": "below"}


def row_height(n_layers: int) -> float:
    """Pixels of one layer of a map: fewer the more there are, within bounds."""
    return min(26.0, max(400 / n_layers, 9.0))


def map_height(n_layers: int) -> int:
    """Pixels of all layers of a map."""
    return round(n_layers * row_height(n_layers))


def tick_step(n: int, most: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, … that needs at most `most` ticks for `n` rows."""
    step = next(s * 10**p for p in range(9) for s in (1, 2, 5) if n / (s * 10**p) <= most)
    return step


def half_width(estimate: Estimate) -> float:
    """Half a 95 % interval; 0 where the error is unknown."""
    half = estimate.high - estimate.value
    return half if np.isfinite(half) else 0.0
