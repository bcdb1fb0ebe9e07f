"""What pruning does: one metric before, predicted and measured, and the toxicity of each group."""

from __future__ import annotations

import html
from collections.abc import Mapping

import plotly.graph_objects as go

from ..estimates import Estimate
from ..numbers import format_estimate
from ..palette import palette
from .style import half_width, lay_out, reference_line


def effect_intervals(
    before: Estimate, after: Estimate | None, predicted: float | None, *, dark: bool = False
) -> go.Figure:
    """One metric before pruning (dotted line), as predicted, and as measured; whiskers are 95 % intervals.

    What is None is not drawn.
    """
    colours = palette(dark)
    rows: list[tuple[str, float, float, str, str]] = [
        ("before", before.value, half_width(before), colours.before, "circle")
    ]
    if predicted is not None:
        rows.append(("predicted", predicted, 0.0, colours.muted, "diamond-open"))
    if after is not None:
        rows.append(("measured", after.value, half_width(after), colours.pruned, "circle"))
    figure = go.Figure()
    for name, value, half, colour, symbol in rows:
        figure.add_scatter(
            x=[value], y=[name], mode="markers", hovertemplate=f"{name} %{{x:.4g}}<extra></extra>",
            marker={"size": 10, "color": colour, "symbol": symbol, "line": {"color": colour, "width": 2}},
            error_x={"array": [half], "color": colour, "thickness": 2, "width": 5, "visible": half > 0},
        )  # fmt: skip
    figure.add_vline(x=before.value, **reference_line(colours))
    lay_out(
        figure, colours, height=150, margin={"l": 8, "r": 12, "t": 4, "b": 4}, dragmode=False,
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
            error_x={"array": [half_width(e) for e in chosen], "color": colours.muted, "thickness": 1.2, "width": 2},
        )  # fmt: skip
    lay_out(
        figure, colours, height=70 + 34 * len(groups), margin={"l": 8, "r": 12, "t": 36, "b": 8},
        bargap=0.35, bargroupgap=0.08, barmode="group", showlegend=True, dragmode=False,
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "reversed"},
        xaxis={
            "title": {"text": "mean toxicity"}, "rangemode": "tozero", "gridcolor": colours.grid, "automargin": True,
            "fixedrange": True, "zeroline": False, "nticks": 6,
        },
        yaxis={"automargin": True, "fixedrange": True, "ticklabelstandoff": 6, "showgrid": False},
    )  # fmt: skip
    return figure
