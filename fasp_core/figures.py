"""Charts: pure functions, numbers in, plotly Figure out. Backgrounds are transparent, so they sit on any page.

A map of heads has layers downwards and heads to the right, layer 0 on top. plotly reports no clicks on a heatmap, so
each map carries an invisible marker per head: a click or selection on it gives `x` = head, `y` = layer.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .estimates import Estimate
from .numbers import differs_from_zero, format_estimate, format_number
from .palette import Palette, palette
from .selection import Head

# Without these, clicks that follow each other within 300 ms get lost, and dragging zooms.
MAP_CONFIG = {"displayModeBar": False, "doubleClick": False, "doubleClickDelay": 1, "scrollZoom": False}
CHART_CONFIG = {"displayModeBar": False, "doubleClick": False, "scrollZoom": False}

MOST_ERROR_BARS = 600
_MUTED_OPACITY = 0.3


def colour_limit(values: np.ndarray, share: float = 0.98) -> float:
    """Where the colours of a map end, so that one extreme head does not flatten the rest.

    The `share` quantile of |values|, rounded up to two digits; NaNs are left out. Never 0, so that a map without any
    effect still has a scale.
    """
    sizes = np.abs(np.asarray(values, dtype=float))
    sizes = sizes[np.isfinite(sizes)]
    limit = float(np.quantile(sizes, share)) if sizes.size else 0.0
    limit = limit or float(sizes.max(initial=0.0)) or 1.0
    unit = 10.0 ** (math.floor(math.log10(limit)) - 1)
    return float(f"{math.ceil(limit / unit - 1e-9) * unit:.1e}")


def head_heatmap(
    values: np.ndarray, errors: np.ndarray, *, quantity: str, selected: Head | None = None, dark: bool = False
) -> go.Figure:
    """One quantity, `z_ppl` or `z_bias`, of every head.

    `values` and `errors` (standard errors, NaN where unknown) are (layers, heads). Colours diverge from 0 and end at
    `colour_limit`; heads whose 95 % interval includes zero are faded; `selected` is outlined.
    """
    values, errors = np.asarray(values, dtype=float), np.asarray(errors, dtype=float)
    colours, limit = palette(dark), colour_limit(values)
    scale = colours.z_ppl if quantity == "z_ppl" else colours.z_bias
    clear = differs_from_zero(values, errors)
    figure = go.Figure()
    for mask, opacity in ((clear, 1.0), (~clear, _MUTED_OPACITY)):
        figure.add_heatmap(
            z=np.where(mask, values, np.nan), coloraxis="coloraxis", opacity=opacity, hoverinfo="skip", xgap=1, ygap=1
        )
    texts = [
        f"{quantity} {format_estimate(value, error, signed=True)}" + ("" if sure else "<br>not distinguishable from 0")
        for value, error, sure in zip(values.ravel(), errors.ravel(), clear.ravel(), strict=True)
    ]
    _add_targets(figure, values.shape, texts)
    _lay_out_map(figure, values.shape, colours, selected)
    ticks = [-limit, 0.0, limit]
    beyond = (bool((values < -limit).any()), bool((values > limit).any()))
    labels = [
        ("≤ " if beyond[0] else "") + _end(-limit),
        "0",
        ("≥ " if beyond[1] else "") + _end(limit),
    ]
    figure.update_layout(
        coloraxis={
            "colorscale": [list(stop) for stop in scale], "cmin": -limit, "cmax": limit,
            "colorbar": {
                "orientation": "h", "y": 0, "yanchor": "top", "ypad": 40, "x": 0.5, "len": 0.85, "thickness": 8,
                "tickvals": ticks, "ticktext": labels, "outlinewidth": 0, "tickfont": {"color": colours.muted},
            },
        }
    )  # fmt: skip
    figure.update_layout(margin_b=76, height=_map_height(values.shape[0]) + 80)
    return figure


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
    size = min(8.0, 0.55 * _row_height(n_layers))
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
    _add_targets(figure, shape, texts)
    _lay_out_map(figure, shape, colours, selected)
    figure.update_layout(
        margin_b=42, margin_t=34, height=_map_height(n_layers) + 76, showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False},
    )  # fmt: skip
    return figure


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
    _lay_out(figure, colours)
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


def effect_intervals(
    before: Estimate, after: Estimate | None, predicted: float | None, *, dark: bool = False
) -> go.Figure:
    """One metric before pruning (dotted line), as predicted, and as measured; whiskers are 95 % intervals.

    What is None is not drawn.
    """
    colours = palette(dark)
    rows: list[tuple[str, float, float, str, str]] = [
        ("before", before.value, _half_width(before), colours.before, "circle")
    ]
    if predicted is not None:
        rows.append(("predicted", predicted, 0.0, colours.muted, "diamond-open"))
    if after is not None:
        rows.append(("measured", after.value, _half_width(after), colours.pruned, "circle"))
    figure = go.Figure()
    for name, value, half, colour, symbol in rows:
        figure.add_scatter(
            x=[value], y=[name], mode="markers", hovertemplate=f"{name} %{{x:.4g}}<extra></extra>",
            marker={"size": 10, "color": colour, "symbol": symbol, "line": {"color": colour, "width": 2}},
            error_x={"array": [half], "color": colour, "thickness": 2, "width": 5, "visible": half > 0},
        )  # fmt: skip
    figure.add_vline(x=before.value, line={"color": colours.before, "width": 1, "dash": "dot"}, layer="below")
    _lay_out(figure, colours)
    figure.update_layout(
        height=150, margin={"l": 8, "r": 12, "t": 4, "b": 4}, dragmode=False,
        xaxis={"gridcolor": colours.grid, "zeroline": False, "nticks": 5, "automargin": True, "fixedrange": True},
        yaxis={
            "categoryorder": "array", "categoryarray": [row[0] for row in reversed(rows)], "automargin": True,
            "fixedrange": True, "range": [-0.6, len(rows) - 0.4], "showgrid": False,
        },
    )  # fmt: skip
    return figure


def group_bars(before: Mapping[str, Estimate], after: Mapping[str, Estimate], *, dark: bool = False) -> go.Figure:
    """Mean toxicity of each group, before and after, with 95 % intervals; the most toxic group before is on top."""
    colours = palette(dark)
    groups = sorted(before, key=lambda group: before[group].value)
    labels = [html.escape(group.replace("_", " ")) for group in groups]
    figure = go.Figure()
    for name, estimates, colour in (("after", after, colours.pruned), ("before", before, colours.before)):
        chosen = [estimates[group] for group in groups]
        texts = [f"{name} {format_estimate(e.value, e.se)}" for e in chosen]
        figure.add_bar(
            x=[e.value for e in chosen], y=labels, orientation="h", name=name, marker={"color": colour},
            customdata=texts, hovertemplate="%{y}<br>%{customdata}<extra></extra>",
            error_x={"array": [_half_width(e) for e in chosen], "color": colours.muted, "thickness": 1.2, "width": 2},
        )  # fmt: skip
    _lay_out(figure, colours)
    figure.update_layout(
        height=70 + 34 * len(groups), margin={"l": 8, "r": 12, "t": 36, "b": 8}, bargap=0.35, bargroupgap=0.08,
        barmode="group", showlegend=True, dragmode=False,
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "reversed"},
        xaxis={
            "title": {"text": "mean toxicity"}, "rangemode": "tozero", "gridcolor": colours.grid, "automargin": True,
            "fixedrange": True, "zeroline": False, "nticks": 6,
        },
        yaxis={"automargin": True, "fixedrange": True, "ticklabelstandoff": 6, "showgrid": False},
    )  # fmt: skip
    return figure


# -- parts shared by the charts -------------------------------------------------------------------------------------


def _add_targets(figure: go.Figure, shape: tuple[int, int], texts: Sequence[str]) -> None:
    """One invisible marker per head on top of a map: the thing that hovers, clicks and selections hit."""
    layers, heads = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    invisible: dict[str, Any] = {"marker": {"opacity": 0}}
    figure.add_scatter(
        x=heads.tolist(), y=layers.tolist(), mode="markers", text=list(texts), name="heads", showlegend=False,
        marker={"symbol": "square", "size": 6, "opacity": 0}, selected=invisible, unselected=invisible,
        hovertemplate="layer %{y}, head %{x}<br>%{text}<extra></extra>",
    )  # fmt: skip


def _lay_out_map(figure: go.Figure, shape: tuple[int, int], colours: Palette, selected: Head | None) -> None:
    n_layers, n_heads = shape
    _lay_out(figure, colours)
    axis = {"showgrid": False, "zeroline": False, "fixedrange": True, "ticks": "", "tick0": 0}
    figure.update_layout(
        margin={"l": 46, "r": 4, "t": 4, "autoexpand": False},
        clickmode="event+select", dragmode=False, hoverdistance=100,
        xaxis={**axis, "title": {"text": "head", "standoff": 6}, "dtick": _tick_step(n_heads, 16),
               "range": [-0.5, n_heads - 0.5]},
        yaxis={**axis, "title": {"text": "layer", "standoff": 6}, "dtick": _tick_step(n_layers, 16),
               "range": [n_layers - 0.5, -0.5]},
    )  # fmt: skip
    if selected is not None:
        layer, head = selected
        figure.add_shape(
            type="rect", x0=head - 0.5, x1=head + 0.5, y0=layer - 0.5, y1=layer + 0.5,
            line={"color": colours.selected, "width": 2},
        )  # fmt: skip


def _lay_out(figure: go.Figure, colours: Palette) -> None:
    figure.update_layout(
        template="none", paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", showlegend=False,
        font={"color": colours.text, "size": 13, "family": '"Source Sans", "Source Sans 3", sans-serif'},
        hoverlabel={
            "bgcolor": colours.surface, "bordercolor": colours.grid, "font": {"color": colours.text, "size": 13},
        },
        hovermode="closest",
    )  # fmt: skip
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(tickfont={"color": colours.muted, "size": 12}, title_font={"color": colours.muted, "size": 13})


def _row_height(n_layers: int) -> float:
    return min(26.0, max(400 / n_layers, 9.0))


def _map_height(n_layers: int) -> int:
    return round(n_layers * _row_height(n_layers))


def _tick_step(n: int, most: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, … that needs at most `most` ticks for `n` rows."""
    step = next(s * 10**p for p in range(9) for s in (1, 2, 5) if n / (s * 10**p) <= most)
    return step


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


def _end(limit: float) -> str:
    return format_number(limit, abs(limit) / 5, signed=True)


def _half_width(estimate: Estimate) -> float:
    half = estimate.high - estimate.value
    return half if np.isfinite(half) else 0.0
