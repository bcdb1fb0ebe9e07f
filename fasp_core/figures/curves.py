"""How a method of pruning looks in all charts of a comparison: colour, marker, and dash by what takes the heads' place.

A method has one colour and marker; none relies on hue alone. Lines are solid and markers filled where nothing takes the
pruned heads' place; with compensation they are broken and hollow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fasp_core.figures.palette import Palette
from fasp_core.words.numbers import format_fixed

# Method: colour on light, on dark, marker.
STYLES = {
    "fasp": ("#c2570c", "#f08c3c", "circle"),
    "fasp_robust": ("#7a3e9d", "#b98be0", "square"),
    "fasp_joint": ("#1b6e2f", "#6fcf7f", "hexagon"),
    "fasp_multi": ("#b0307a", "#ee7fb8", "diamond"),
    "fasp_iterative": ("#24292f", "#f5f6f7", "star"),
    "bias_only": ("#a66a00", "#ffc978", "triangle-up"),
    "ppl_only": ("#16806f", "#3fb6a2", "triangle-down"),
    "magnitude_l2": ("#4c78a8", "#7fa9d9", "x"),
    "mask_gradient_l2": ("#2a92c9", "#a9d3f0", "cross"),
    "activation_difference": ("#8a5a44", "#d0a48c", "star-triangle-up"),
    "random": ("#7d858d", "#a2aab2", "pentagon"),
}
# Compensation: dash, ending of the marker, words.
WAYS = {
    "none": ("solid", "", "nothing in the heads' place"),
    "mean": ("dot", "-open-dot", "their mean output in their place"),
    "least_squares": ("dash", "-open", "the remaining heads take over"),
}


class Curve(NamedTuple):
    """The rows of one method and compensation, by α, and how they are drawn."""

    rows: pd.DataFrame
    name: str
    method: str
    first: bool  # of its method, whose entry the legend shows
    colour: str
    dash: str
    symbol: str


def curve_label(method: str, compensate: str) -> str:
    """A curve for people: `fasp`, `fasp, the remaining heads take over`."""
    return method if compensate == "none" else f"{method}, {WAYS[compensate][2]}"


def curves(rows: pd.DataFrame, dark: bool) -> Iterator[Curve]:
    """The curves in the order of the frame."""
    begun: set[str] = set()
    for (method, compensate), part in rows.groupby(["method", "compensate"], sort=False):
        light_colour, dark_colour, symbol = STYLES[method]
        dash, ending, _ = WAYS[compensate]
        yield Curve(
            part.sort_values("alpha"),
            curve_label(method, compensate),
            method,
            method not in begun,
            dark_colour if dark else light_colour,
            dash,
            symbol + ending,
        )
        begun.add(method)


def drawn(curve: Curve) -> dict[str, Any]:
    """Name, place in the legend, markers and hover texts of a curve's trace."""
    marker = {"symbol": curve.symbol, "size": 8, "color": curve.colour, "line": {"color": curve.colour, "width": 1}}
    legend = {"name": curve.name, "legendgroup": curve.method, "showlegend": curve.first}
    return {**legend, "marker": marker, **_hover(curve.rows)}


def explain_ways(figure: go.Figure, rows: pd.DataFrame, colours: Palette, mode: str) -> None:
    """An entry of the legend for each compensation, where there are several; a method's entry stands for all of its."""
    ways = list(dict.fromkeys(rows["compensate"]))
    for dash, ending, label in (WAYS[way] for way in ways if len(ways) > 1):
        figure.add_scatter(
            x=[None],
            y=[None],
            mode=mode,
            name=label,
            hoverinfo="skip",
            line={"color": colours.text, "dash": dash, "width": 2},
            marker={"symbol": f"circle{ending}", "size": 8, "color": colours.text},
        )


def _hover(part: pd.DataFrame) -> dict[str, Any]:
    texts, points = [], []
    for row in part.itertuples():
        gamma = "" if np.isnan(row.gamma) else f"{row.gamma:g}"
        change, low, high = (
            format_fixed(100 * v, 1, signed=True) if np.isfinite(v) else "–"
            for v in (row.relative, row.relative_low, row.relative_high)
        )
        named = curve_label(row.method, row.compensate if row.n_pruned else "none")
        at = f"α {row.alpha:g}{gamma and f', γ {gamma}'}"
        texts.append(f"{named}, {at}<br>{change} % ({low} to {high})")
        points.append([row.method, gamma, f"{row.alpha:g}", row.compensate])
    return {"text": texts, "hovertemplate": "%{text}<extra></extra>", "customdata": points}


def interval_bars(part: pd.DataFrame, colour: str, what: str = "relative") -> dict[str, Any]:
    """Error bars over the 95 % intervals of a column of shares, in per cent."""
    half = (100 * (part[f"{what}_high"] - part[what])).fillna(0.0)
    return {"array": half.tolist(), "color": colour, "thickness": 1.2, "width": 3}


def faded(colour: str, opacity: float = 0.16) -> str:
    """A colour of `STYLES` as bands and bars have it."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
