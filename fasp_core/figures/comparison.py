"""Methods of pruning side by side: curves over α, bias against perplexity, side effects on other axes, predictions.

All take pooled rows (see `comparison.table.pool`) whose bias is by one measure, `by`; changes are shares of the intact
model's value. A curve is a method and a compensation (see `curves`). A point's `customdata` are method, γ ("": none), α
and compensation.
"""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fasp_core.figures.curves import curves, drawn, explain_ways, faded, interval_bars
from fasp_core.figures.palette import Palette, palette
from fasp_core.figures.style import LEGEND, lay_out, reference_line
from fasp_core.stats.pareto import pareto_front
from fasp_core.words.numbers import axis_label, bias_text

MOST_BANDS = 4  # with more curves, intervals are whiskers: bands would hide each other
POINT = ["method", "gamma", "alpha", "compensate", "split"]


def comparison_curves(pooled: pd.DataFrame, metric: str, *, by: str = "toxicity", dark: bool = False) -> go.Figure:
    """Relative change of `metric` against α, a line per method and compensation, with 95 % bands, or whiskers if many.

    One trace each in the order of the frame, its points by α; 0 is the intact model. Points far beyond the others are
    cut off, see `axis_end`.
    """
    colours, rows = palette(dark), pooled[pooled["metric"] == metric]
    lines = list(curves(rows, dark))
    bands = len(lines) <= MOST_BANDS
    figure = go.Figure()
    for number, curve in enumerate(lines):
        part, colour = curve.rows, curve.colour
        shift = 0.0 if bands else 0.12 * (number - (len(lines) - 1) / 2)  # so that whiskers stand side by side
        x = (100 * part["alpha"] + shift).tolist()
        low, high = (100 * part["relative_low"]).tolist(), (100 * part["relative_high"]).tolist()
        if bands:
            figure.add_scatter(
                x=x + x[::-1],
                y=high + low[::-1],
                fill="toself",
                fillcolor=faded(colour),
                mode="lines",
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=curve.method,
            )
        figure.add_scatter(
            x=x,
            y=(100 * part["relative"]).tolist(),
            mode="lines+markers",
            line={"color": colour, "dash": curve.dash, "width": 2},
            error_y=None if bands else interval_bars(part, faded(colour, 0.6)),
            **drawn(curve),
        )
    explain_ways(figure, rows, colours, "lines+markers")
    figure.add_hline(y=0, **reference_line(colours))
    _lay_out(figure, colours, "share of heads pruned, α (%)", f"change of {metric_label(metric, by)} (%)")
    if (end := axis_end(rows["relative"])) is not None:
        figure.update_yaxes(range=[100 * float(rows["relative_low"].min()) - 5, 100 * end])
    return figure


def trade_off(pooled: pd.DataFrame, axis: str, *, by: str = "toxicity", dark: bool = False) -> go.Figure:
    """Change of bias against change of perplexity, a marker per point with its intervals, the Pareto front as a line.

    One trace per method and compensation in the order of the frame, after the front's; the lower left is better.
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
    for curve in curves(points, dark):
        part, bars = curve.rows, faded(curve.colour, 0.45)
        figure.add_scatter(
            x=(100 * part["ppl"]).tolist(),
            y=(100 * part["relative"]).tolist(),
            mode="markers",
            error_x=interval_bars(part, bars, "ppl"),
            error_y=interval_bars(part, bars),
            **drawn(curve),
        )
    explain_ways(figure, points, colours, "markers")
    figure.add_hline(y=0, **reference_line(colours))
    figure.add_vline(x=0, **reference_line(colours))
    _lay_out(figure, colours, "change of perplexity (%)", f"change of {bias_text(axis, by)} (%)")
    if (end := axis_end(points["ppl"])) is not None:
        figure.update_xaxes(range=[100 * float(points["ppl"].min()) - 5, 100 * end])
    return figure


def side_effects(pooled: pd.DataFrame, axis: str, *, by: str = "toxicity", dark: bool = False) -> go.Figure:
    """What pruning for `axis` does to the bias of every axis: rows are axes, a marker with whiskers per curve.

    `pooled` holds one α.
    """
    colours, rows = palette(dark), pooled[pooled["metric"].str.startswith("bias.")]
    metrics = sorted(set(rows["metric"]), key=lambda m: (m != f"bias.{axis}", m))
    lines = list(curves(rows, dark))
    figure = go.Figure()
    for number, curve in enumerate(lines):
        part = curve.rows.set_index("metric").reindex(metrics).reset_index().dropna(subset="relative")
        offset = 0.7 * ((number + 0.5) / len(lines) - 0.5)
        figure.add_scatter(
            x=(100 * part["relative"]).tolist(),
            y=[metrics.index(metric) + offset for metric in part["metric"]],
            mode="markers",
            error_x=interval_bars(part, curve.colour),
            **drawn(curve._replace(rows=part)),
        )
    explain_ways(figure, rows, colours, "markers")
    figure.add_vline(x=0, **reference_line(colours))
    _lay_out(figure, colours, f"change of bias by {by} (%)", None)
    figure.update_layout(height=110 + len(metrics) * max(44, 15 * len(lines)))
    figure.update_yaxes(
        tickvals=list(range(len(metrics))),
        range=[len(metrics) - 0.5, -0.5],
        showgrid=False,
        ticktext=[html.escape(axis_label(metric.removeprefix("bias."))) for metric in metrics],
    )
    return figure


def predicted_measured(pooled: pd.DataFrame, metric: str, *, by: str = "toxicity", dark: bool = False) -> go.Figure:
    """The sum of the single-head scores against the measured change; the difference is interaction and noise.

    On the dashed line, effects of heads add up. Scores say nothing of what takes a head's place, so these points are
    without compensation.
    """
    colours = palette(dark)
    rows = usable_predictions(pooled, metric)
    figure, ends = go.Figure(), [0.0]
    for curve in curves(rows, dark):
        part = curve.rows
        predicted = 100 * part["predicted"] / part["before"]
        ends += [*predicted, *(100 * part["relative"])]
        figure.add_scatter(
            x=predicted.tolist(),
            y=(100 * part["relative"]).tolist(),
            mode="markers",
            error_y=interval_bars(part, faded(curve.colour, 0.45)),
            **drawn(curve),
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
    label = metric_label(metric, by)
    _lay_out(figure, colours, f"predicted change of {label} (%)", "measured change (%)")
    return figure


def usable_predictions(pooled: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The points of `metric` whose prediction can be true: none of a value below 0 after pruning."""
    rows = pooled[(pooled["metric"] == metric) & pooled["predicted"].notna() & (pooled["n_pruned"] > 0)]
    return rows[rows["predicted"] >= -rows["before"]]


def axis_end(relative: pd.Series) -> float | None:
    """Where to end an axis, so that a few ruined models do not flatten the other points; None where all fit.

    Twice the 90 % quantile of the points' sizes, if the largest is more than 1.5 times that.
    """
    end = 2 * float(relative.abs().quantile(0.9)) if len(relative) else 0.0
    return end if 0 < 1.5 * end < relative.max() else None


def both_metrics(pooled: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The bias rows of `axis`, and the relative change of perplexity of the same point as ppl, ppl_low and ppl_high."""
    ends = {f"relative{end}": f"ppl{end}" for end in ("", "_low", "_high")}
    ppl = pooled.loc[pooled["metric"] == "ppl", [*POINT, *ends]].rename(columns=ends)
    return pooled[pooled["metric"] == f"bias.{axis}"].merge(ppl, on=POINT).reset_index(drop=True)


def metric_label(metric: str, by: str = "toxicity") -> str:
    """A metric for people, within a sentence: `perplexity`, `bias of gender and sex by likelihood`."""
    return "perplexity" if metric == "ppl" else bias_text(metric.removeprefix("bias."), by)


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
