"""Every head as a point: how much it drives bias against how much the model needs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..numbers import format_estimate
from ..palette import palette
from ..selection import Head
from .style import lay_out

MOST_ERROR_BARS = 600


def head_scatter(
    z_ppl: np.ndarray,
    z_ppl_se: np.ndarray,
    z_bias: np.ndarray,
    z_bias_se: np.ndarray,
    heads: Sequence[Head],
    *,
    selected: Head | None = None,
    dark: bool = False,
) -> go.Figure:
    """z_bias against z_ppl, one marker per head (arrays in the order of `heads`), with bars of one standard error.

    z_ppl has long tails, so its axis is linear near 0 and logarithmic far out (asinh); its ticks name true values.
    Above `MOST_ERROR_BARS` heads only the selected one has bars; all show their errors on hover.
    """
    colours, unit = palette(dark), _linear_part(z_ppl)
    x, y = np.arcsinh(np.asarray(z_ppl, dtype=float) / unit), np.asarray(z_bias, dtype=float)
    low, high = (np.arcsinh((z_ppl + sign * np.nan_to_num(z_ppl_se)) / unit) for sign in (-1, 1))
    texts = [
        f"layer {layer}, head {head}<br>z_ppl {format_estimate(px, ex, signed=True)}"
        f"<br>z_bias {format_estimate(py, ey, signed=True)}"
        for (layer, head), px, ex, py, ey in zip(heads, z_ppl, z_ppl_se, y, z_bias_se, strict=True)
    ]

    def bars(chosen: slice | list[int], colour: str) -> dict[str, Any]:
        look = {"color": colour, "thickness": 1, "width": 0}
        x_bars = {"array": (high - x)[chosen].tolist(), "arrayminus": (x - low)[chosen].tolist(), **look}
        return {"error_x": x_bars, "error_y": {"array": np.nan_to_num(z_bias_se)[chosen].tolist(), **look}}

    few = len(heads) <= MOST_ERROR_BARS
    visible: dict[str, Any] = {"marker": {"opacity": 0.9}}
    figure = go.Figure(
        go.Scatter(
            x=x.tolist(), y=y.tolist(), mode="markers", text=texts, hovertemplate="%{text}<extra></extra>",
            marker={
                "size": 6 if few else 4, "opacity": 0.9, "color": (y > 0).astype(float).tolist(), "cmin": 0, "cmax": 1,
                "colorscale": [[0, colours.before], [1, colours.pruned]],
            },
            name="heads", selected=visible, unselected=visible, **(bars(slice(None), colours.faint) if few else {}),
        )
    )  # fmt: skip
    if selected is not None and selected in heads:
        i = list(heads).index(selected)
        figure.add_scatter(
            x=[x[i]], y=[y[i]], mode="markers", hoverinfo="skip", **bars([i], colours.selected),
            marker={"size": 14, "symbol": "circle-open", "color": colours.selected, "line": {"width": 2}},
        )  # fmt: skip
    lay_out(figure, colours)
    axis = {
        "gridcolor": colours.grid, "zeroline": True, "zerolinecolor": colours.muted, "zerolinewidth": 1,
        "automargin": True, "fixedrange": True,
    }  # fmt: skip
    ticks = _asinh_ticks(float(np.nanmin(z_ppl)), float(np.nanmax(z_ppl)), unit)
    figure.update_layout(
        height=420, margin={"l": 8, "r": 8, "t": 8, "b": 8}, clickmode="event+select", dragmode=False,
        xaxis={
            **axis, "title": {"text": "z_ppl · the model needs it →"},
            "tickvals": np.arcsinh(np.divide(ticks, unit)).tolist(),
            "ticktext": [f"{tick:g}".replace("-", "−") for tick in ticks],
        },
        yaxis={**axis, "title": {"text": "z_bias · drives bias →"}},
    )  # fmt: skip
    return figure


def _linear_part(values: np.ndarray) -> float:
    """Where an asinh axis turns from linear to logarithmic: the median |value|."""
    sizes = np.abs(np.asarray(values, dtype=float))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    return float(np.median(sizes)) if sizes.size else 1.0


def _asinh_ticks(low: float, high: float, unit: float) -> list[float]:
    """0 and ±1 × 10ⁿ or ±3 × 10ⁿ from about `unit` on, as far as the data reach."""
    first = math.floor(math.log10(unit))
    steps = [factor * 10.0**power for power in range(first, first + 12) for factor in (1, 3)]
    steps = [step for step in steps if step >= 0.9 * unit]
    ticks = [-step for step in steps if step <= -low] + [0.0] + [step for step in steps if step <= high]
    return sorted(float(f"{tick:.3g}") for tick in ticks)
