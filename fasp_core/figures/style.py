"""What all charts share: the layout of a map and of a chart, its ticks, its button that saves. Pure functions.

Backgrounds are those of the app's theme, so that a saved image is as readable as the page. A map of heads has layers
downwards and heads to the right, layer 0 on top. plotly reports no clicks on a heatmap, so each map carries an
invisible marker per head: a click or selection on it gives `x` = head, `y` = layer. Only one of them becomes an element
of the page: plotly finds the others by their coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from fasp_core.figures.palette import Palette
from fasp_core.stats.estimate import Estimate

# Without these, clicks that follow each other within 300 ms get lost, and dragging zooms.
MAP_CONFIG = {"displayModeBar": False, "doubleClick": False, "doubleClickDelay": 1, "scrollZoom": False}
CHART_CONFIG = {"displayModeBar": False, "doubleClick": False, "scrollZoom": False}

# Above the chart, and not to be clicked: that would hide what the words beside the chart speak of.
LEGEND = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False}


def saving(config: dict[str, Any], filename: str, image: str = "svg") -> dict[str, Any]:
    """A chart's configuration with one button, which saves the chart as `filename`.`image` (svg or png).

    The browser makes the file with plotly; no request is sent.
    """
    return {
        **config,
        "displayModeBar": True,
        "displaylogo": False,
        "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": {"format": image, "filename": filename, "scale": 2 if image == "png" else 1},
    }


def add_targets(figure: go.Figure, shape: tuple[int, int], texts: Sequence[str]) -> None:
    """One invisible marker per head on top of a map: the target of hovers, clicks and selections."""
    layers, heads = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    invisible: dict[str, Any] = {"marker": {"opacity": 0}}
    figure.add_trace(
        {
            "type": "scatter",  # not a go.Scatter: plotly would check the texts of all heads twice
            "x": heads.astype(np.int16),
            "y": layers.astype(np.int16),
            "mode": "markers",
            "text": list(texts),
            "name": "heads",
            "showlegend": False,
            "marker": {"symbol": "square", "size": 6, "opacity": 0, "maxdisplayed": 1},
            "selected": invisible,
            "unselected": invisible,
            "hovertemplate": "layer %{y}, head %{x}<br>%{text}<extra></extra>",
        }
    )


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
        figure,
        colours,
        clickmode="event+select",
        dragmode="select" if several else False,
        hoverdistance=100,
        newselection={"line": {"color": colours.selected, "width": 1}},
        xaxis={
            **axis,
            "title": {"text": "head", "standoff": 6},
            "dtick": tick_step(n_heads, 16),
            "range": [-0.5, n_heads - 0.5],
        },
        yaxis={
            **axis,
            "title": {"text": "layer", "standoff": 6},
            "dtick": tick_step(n_layers, 16),
            "range": [n_layers - 0.5, -0.5],
        },
        **more,
    )


def lay_out(figure: go.Figure, colours: Palette, **more: Any) -> None:
    """Background, fonts and hover labels of every chart, and `more` of its layout; what the figure has already is kept.

    All at once: plotly takes ten times as long to update a layout piece by piece.
    """
    axis = {
        "tickfont": {"color": colours.muted, "size": 12},
        "title": {"font": {"color": colours.muted, "size": 13}},
        "exponentformat": "none",  # 0.0004, not 400µ
    }
    common = {
        "template": "none",
        "paper_bgcolor": colours.page,
        "plot_bgcolor": colours.page,
        "showlegend": False,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": colours.muted, "activecolor": colours.text},
        "font": {"color": colours.text, "size": 13, "family": '"Source Sans", "Source Sans 3", sans-serif'},
        "hoverlabel": {
            "bgcolor": colours.surface,
            "bordercolor": colours.grid,
            "font": {"color": colours.text, "size": 13},
        },
        "hovermode": "closest",
    }
    there = figure.layout.to_plotly_json()
    axes = {"xaxis", "yaxis", *(name for name in there if name[1:].startswith("axis"))}
    figure.layout = _merged(there, _merged(common | dict.fromkeys(axes, axis), more))


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Both dictionaries merged, nested ones too; where both have a value, that of `over` counts."""
    inside = [key for key in over if isinstance(over[key], dict) and isinstance(under.get(key), dict)]
    return {**under, **over} | {key: _merged(under[key], over[key]) for key in inside}


def reference_line(colours: Palette) -> dict[str, Any]:
    """The style of the line that marks the intact model: `figure.add_vline(x=0, **reference_line(colours))`."""
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


def whiskers(estimates: Iterable[Estimate], lowest: float = -np.inf, highest: float = np.inf) -> dict[str, Any]:
    """Error bars of plotly that end where the 95 % intervals do, cut to the values that the quantity can have.

    An unknown error has no bar.
    """
    ends = np.array([[*e.within(lowest, highest), e.value] for e in estimates], float).reshape(-1, 3)
    up, down = ends[:, 1] - ends[:, 2], ends[:, 2] - ends[:, 0]
    lengths = {"array": up, "arrayminus": down}
    return {"symmetric": False, **{name: np.nan_to_num(np.maximum(v, 0)).tolist() for name, v in lengths.items()}}
