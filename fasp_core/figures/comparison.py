"""Methods of pruning side by side: curves over α, bias against perplexity, side effects on other axes, predictions.

All take pooled rows (see `comparison.table.pool`); changes are shares of the intact model's value. A method has one
colour, dash and marker in all charts; none relies on hue alone. A point's `customdata` are method, γ ("": none) and α.
"""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fasp_core.figures.palette import Palette, palette
from fasp_core.figures.style import LEGEND, lay_out, reference_line
from fasp_core.stats.pareto import pareto_front
from fasp_core.words.numbers import axis_label, format_fixed

MOST_BANDS = 4  # with more methods, intervals are whiskers: bands would hide each other
# Method: colour on light, on dark, dash, marker.
STYLES = {
    "fasp": ("#c2570c", "#f08c3c", "solid", "circle"),
    "fasp_robust": ("#7a3e9d", "#b98be0", "solid", "square"),
    "fasp_joint": ("#1b6e2f", "#6fcf7f", "solid", "hexagon"),
    "fasp_multi": ("#b0307a", "#ee7fb8", "dashdot", "diamond"),
    "fasp_iterative": ("#24292f", "#f5f6f7", "solid", "star"),
    "bias_only": ("#a66a00", "#ffc978", "dash", "triangle-up"),
    "ppl_only": ("#16806f", "#3fb6a2", "dash", "triangle-down"),
    "magnitude_l2": ("#4c78a8", "#7fa9d9", "dot", "x"),
    "mask_gradient_l2": ("#2a92c9", "#a9d3f0", "dot", "cross"),
    "activation_difference": ("#8a5a44", "#d0a48c", "dot", "star-triangle-up"),
    "random": ("#7d858d", "#a2aab2", "longdash", "circle-open"),
}


def comparison_curves(pooled: pd.DataFrame, metric: str, *, dark: bool = False) -> go.Figure:
    """Relative change of `metric` against α, a line per method, with 95 % bands, or whiskers where methods are many.

    One trace per method in the order of the frame, its points by α; 0 is the intact model. Points far beyond the
    others are cut off, see `axis_end`.
    """
    colours, rows = palette(dark), pooled[pooled["metric"] == metric]
    methods = list(dict.fromkeys(rows["method"]))
    bands = len(methods) <= MOST_BANDS
    figure = go.Figure()
    for number, method in enumerate(methods):
        part = rows[rows["method"] == method].sort_values("alpha")
        colour, dash, symbol = style_of(method, dark)
        shift = 0.0 if bands else 0.12 * (number - (len(methods) - 1) / 2)  # so that whiskers stand side by side
        x = (100 * part["alpha"] + shift).tolist()
        low, high = (100 * part["relative_low"]).tolist(), (100 * part["relative_high"]).tolist()
        if bands:
            figure.add_scatter(
                x=x + x[::-1],
                y=high + low[::-1],
                fill="toself",
                fillcolor=_faded(colour),
                mode="lines",
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=method,
            )
        figure.add_scatter(
            x=x,
            y=(100 * part["relative"]).tolist(),
            mode="lines+markers",
            name=method,
            legendgroup=method,
            line={"color": colour, "dash": dash, "width": 2},
            marker={"symbol": symbol, "size": 8, "color": colour},
            error_y=None if bands else _whiskers(part, colour),
            **_hover(part),
        )
    figure.add_hline(y=0, **reference_line(colours))
    _lay_out(figure, colours, "share of heads pruned, α (%)", f"change of {metric_label(metric)} (%)")
    if (end := axis_end(rows["relative"])) is not None:
        figure.update_yaxes(range=[100 * float(rows["relative_low"].min()) - 5, 100 * end])
    return figure


def trade_off(pooled: pd.DataFrame, axis: str, *, dark: bool = False) -> go.Figure:
    """Change of bias against change of perplexity, a marker per point, and the Pareto front as a line.

    One trace per method in the order of the frame, after the front's; the lower left is better.
    """
    colours, points = palette(dark), both_metrics(pooled, axis)
    figure = go.Figure()
    front = points[pareto_front(points["ppl"], points["relative"])].sort_values("ppl")
    figure.add_scatter(
        x=(100 * front["ppl"]).tolist(),
        y=(100 * front["relative"]).tolist(),
        mode="lines",
        name="Pareto front",
        line={"color": colours.text, "width": 2, "shape": "hv", "dash": "dot"},
        hoverinfo="skip",
    )
    for method in dict.fromkeys(points["method"]):
        part = points[points["method"] == method].sort_values("alpha")
        colour, _, symbol = style_of(method, dark)
        figure.add_scatter(
            x=(100 * part["ppl"]).tolist(),
            y=(100 * part["relative"]).tolist(),
            mode="markers",
            name=method,
            marker={"symbol": symbol, "size": 9, "color": colour, "line": {"color": colour, "width": 1}},
            error_y=_whiskers(part, _faded(colour, 0.45)),
            **_hover(part),
        )
    figure.add_hline(y=0, **reference_line(colours))
    figure.add_vline(x=0, **reference_line(colours))
    _lay_out(figure, colours, "change of perplexity (%)", f"change of {metric_label('bias.' + axis)} (%)")
    if (end := axis_end(points["ppl"])) is not None:
        figure.update_xaxes(range=[100 * float(points["ppl"].min()) - 5, 100 * end])
    return figure


def side_effects(pooled: pd.DataFrame, axis: str, *, dark: bool = False) -> go.Figure:
    """What pruning for `axis` does to the bias of every axis: rows are axes, a marker with whiskers per method.

    `pooled` holds one α.
    """
    colours, rows = palette(dark), pooled[pooled["metric"].str.startswith("bias.")]
    metrics = sorted(set(rows["metric"]), key=lambda m: (m != f"bias.{axis}", m))
    methods = list(dict.fromkeys(rows["method"]))
    figure = go.Figure()
    for number, method in enumerate(methods):
        part = rows[rows["method"] == method].set_index("metric").reindex(metrics).reset_index()
        colour, _, symbol = style_of(method, dark)
        offset = 0.7 * ((number + 0.5) / len(methods) - 0.5)
        figure.add_scatter(
            x=(100 * part["relative"]).tolist(),
            y=[place + offset for place in range(len(metrics))],
            mode="markers",
            name=method,
            marker={"symbol": symbol, "size": 8, "color": colour},
            error_x=_whiskers(part, colour),
            **_hover(part),
        )
    figure.add_vline(x=0, **reference_line(colours))
    _lay_out(figure, colours, "change of bias (%)", None)
    figure.update_layout(height=110 + len(metrics) * max(44, 15 * len(methods)))
    figure.update_yaxes(
        tickvals=list(range(len(metrics))),
        range=[len(metrics) - 0.5, -0.5],
        showgrid=False,
        ticktext=[html.escape(metric_label(m).removeprefix("bias, ")) for m in metrics],
    )
    return figure


def predicted_measured(pooled: pd.DataFrame, metric: str, *, dark: bool = False) -> go.Figure:
    """The sum of the single-head scores against the measured change; the difference is interaction and noise.

    On the dashed line, effects of heads add up.
    """
    colours = palette(dark)
    rows = usable_predictions(pooled, metric)
    figure, ends = go.Figure(), [0.0]
    for method in dict.fromkeys(rows["method"]):
        part = rows[rows["method"] == method].sort_values("alpha")
        colour, _, symbol = style_of(method, dark)
        predicted = 100 * part["predicted"] / part["before"]
        ends += [*predicted, *(100 * part["relative"])]
        figure.add_scatter(
            x=predicted.tolist(),
            y=(100 * part["relative"]).tolist(),
            mode="markers",
            name=method,
            marker={"symbol": symbol, "size": 8, "color": colour},
            error_y=_whiskers(part, _faded(colour, 0.45)),
            **_hover(part),
        )
    line = [float(np.nanmin(ends)), float(np.nanmax(ends))]
    figure.add_scatter(
        x=line,
        y=line,
        mode="lines",
        name="additive",
        hoverinfo="skip",
        line={"color": colours.muted, "width": 1.5, "dash": "dash"},
    )
    label = metric_label(metric)
    _lay_out(figure, colours, f"predicted change of {label} (%)", "measured change (%)")
    return figure


def usable_predictions(pooled: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The points of `metric` whose prediction can be true: none of a value below 0 after pruning."""
    rows = pooled[(pooled["metric"] == metric) & pooled["predicted"].notna() & (pooled["n_pruned"] > 0)]
    return rows[rows["predicted"] >= -rows["before"]]


def axis_end(relative: pd.Series) -> float | None:
    """Where to end an axis, so that a few ruined models do not flatten the other points; None where all fit.

    Twice the 90 % quantile of the points, if the largest is more than 1.5 times that.
    """
    end = 2 * float(relative.quantile(0.9)) if len(relative) else 0.0
    return end if 0 < 1.5 * end < relative.max() else None


def both_metrics(pooled: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The bias rows of `axis` with the relative change of perplexity of the same point in column `ppl`."""
    keys = ["method", "gamma", "alpha", "split"]
    ppl = pooled.loc[pooled["metric"] == "ppl", [*keys, "relative"]].rename(columns={"relative": "ppl"})
    return pooled[pooled["metric"] == f"bias.{axis}"].merge(ppl, on=keys).reset_index(drop=True)


def metric_label(metric: str) -> str:
    """A metric for people: `perplexity`, `bias, gender and sex`."""
    return "perplexity" if metric == "ppl" else f"bias, {axis_label(metric.removeprefix('bias.')).lower()}"


def style_of(method: str, dark: bool) -> tuple[str, str, str]:
    """Colour, dash and marker of a method."""
    light_colour, dark_colour, dash, symbol = STYLES[method]
    return (dark_colour if dark else light_colour), dash, symbol


def _hover(part: pd.DataFrame) -> dict[str, Any]:
    texts = []
    for row in part.itertuples():
        gamma = "" if np.isnan(row.gamma) else f", γ {row.gamma:g}"
        change, low, high = (
            format_fixed(100 * v, 1, signed=True) if np.isfinite(v) else "–"
            for v in (row.relative, row.relative_low, row.relative_high)
        )
        texts.append(f"{row.method}, α {row.alpha:g}{gamma}<br>{change} % ({low} to {high})")
    points = [
        [row.method, "" if np.isnan(row.gamma) else f"{row.gamma:g}", f"{row.alpha:g}"] for row in part.itertuples()
    ]
    return {"text": texts, "hovertemplate": "%{text}<extra></extra>", "customdata": points}


def _whiskers(part: pd.DataFrame, colour: str) -> dict[str, Any]:
    half = (100 * (part["relative_high"] - part["relative"])).fillna(0.0)
    return {"array": half.tolist(), "color": colour, "thickness": 1.2, "width": 3}


def _faded(colour: str, opacity: float = 0.16) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _lay_out(figure: go.Figure, colours: Palette, x: str, y: str | None) -> None:
    visible: dict[str, Any] = {"marker": {"opacity": 1}}
    figure.update_traces(selected=visible, unselected=visible, selector=_has_markers)
    axis = {"gridcolor": colours.grid, "zeroline": False, "automargin": True, "fixedrange": True}
    lay_out(
        figure,
        colours,
        height=400,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        showlegend=True,
        dragmode=False,
        clickmode="event+select",
        legend=LEGEND | {"y": 1.02},
        xaxis={**axis, "title": {"text": x}},
        yaxis={**axis, "title": {"text": y} if y else None},
    )


def _has_markers(trace: Any) -> bool:
    return "markers" in (trace.mode or "")
