"""What pruning does: one metric before and after, and the mean of each group."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

import plotly.graph_objects as go

from fasp_core.figures.palette import palette
from fasp_core.figures.style import lay_out, reference_line, whiskers
from fasp_core.stats.estimate import Estimate
from fasp_core.words.numbers import GROUP_MEANS, format_estimate


def effect_intervals(
    before: Estimate, after: Estimate, *, lowest: float = -math.inf, complete: bool = True, dark: bool = False
) -> go.Figure:
    """One metric before pruning (also a dotted line) and as measured after it; whiskers are 95 % intervals.

    They end at `lowest`, the smallest value that the metric can have. While a measurement is not `complete` it is grey.
    """
    colours = palette(dark)
    rows = [("before", before, colours.before), ("measured", after, colours.pruned if complete else colours.muted)]
    figure = go.Figure()
    for name, estimate, colour in rows:
        bar = whiskers([estimate], lowest)
        figure.add_scatter(
            x=[estimate.value],
            y=[name],
            mode="markers",
            hovertemplate=f"{name} %{{x:.4g}}<extra></extra>",
            marker={"size": 10, "color": colour, "line": {"color": colour, "width": 2}},
            error_x={**bar, "color": colour, "thickness": 2, "width": 5, "visible": bar["array"][0] > 0},
        )
    figure.add_vline(x=before.value, **reference_line(colours))
    lay_out(
        figure,
        colours,
        height=150,
        margin={"l": 8, "r": 12, "t": 4, "b": 4},
        dragmode=False,
        xaxis={"gridcolor": colours.grid, "zeroline": False, "nticks": 5, "automargin": True, "fixedrange": True},
        yaxis={
            "categoryorder": "array",
            "categoryarray": [row[0] for row in reversed(rows)],
            "automargin": True,
            "fixedrange": True,
            "range": [-0.6, len(rows) - 0.4],
            "showgrid": False,
        },
    )
    return figure


def group_bars(
    before: Mapping[str, Estimate], after: Mapping[str, Estimate], metric: str = "toxicity", *, dark: bool = False
) -> go.Figure:
    """The mean of each group, before and after, with 95 % intervals; the group that is highest before is on top.

    It is that of toxicity or, by "likelihood", of the log-odds of toxic and benign continuations.
    """
    possible = (0, 1) if metric == "toxicity" else (-math.inf, math.inf)
    colours = palette(dark)
    groups = sorted(before, key=lambda group: before[group].value)
    labels = [html.escape(group.replace("_", " ")) for group in groups]
    figure = go.Figure()
    for name, estimates, colour in (("after", after, colours.pruned), ("before", before, colours.before)):
        chosen = [estimates[group] for group in groups]
        texts = [f"{name} {format_estimate(e.value, e.se)}" for e in chosen]
        figure.add_bar(
            x=[e.value for e in chosen],
            y=labels,
            orientation="h",
            name=name,
            marker={"color": colour},
            customdata=texts,
            hovertemplate="%{y}<br>%{customdata}<extra></extra>",
            error_x={**whiskers(chosen, *possible), "color": colours.muted, "thickness": 1.2, "width": 2},
        )
    lay_out(
        figure,
        colours,
        height=70 + 34 * len(groups),
        margin={"l": 8, "r": 12, "t": 36, "b": 8},
        bargap=0.35,
        bargroupgap=0.08,
        barmode="group",
        showlegend=True,
        dragmode=False,
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "reversed"},
        xaxis={
            "title": {"text": GROUP_MEANS[metric].lower()},
            "rangemode": "tozero",
            "gridcolor": colours.grid,
            "automargin": True,
            "fixedrange": True,
            "zeroline": False,
            "nticks": 6,
        },
        yaxis={"automargin": True, "fixedrange": True, "ticklabelstandoff": 6, "showgrid": False},
    )
    return figure
