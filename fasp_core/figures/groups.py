"""What one head does to each group: mean toxicity with it and without it, as a dumbbell per group."""

from __future__ import annotations

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from fasp_core.figures.palette import palette
from fasp_core.figures.style import LEGEND, lay_out, whiskers
from fasp_core.stats.head_detail import GroupEffect
from fasp_core.words.numbers import format_estimate


def head_groups(effects: Sequence[GroupEffect], *, dark: bool = False) -> go.Figure:
    """Mean toxicity of each group with the head (circle) and without it (diamond), with 95 % intervals.

    The most toxic group is on top. The intervals are those of the two means. Both means come from the same samples, so
    the interval of their difference is far narrower; it is shown on hover.
    """
    colours = palette(dark)
    effects = sorted(effects, key=lambda effect: effect.with_head.value)
    labels = [html.escape(effect.group.replace("_", " ")) for effect in effects]
    figure = go.Figure()
    kinds = (
        ("without the head", [e.without_head for e in effects], colours.pruned, "diamond", -0.14),
        ("with the head", [e.with_head for e in effects], colours.before, "circle", 0.14),
    )
    changes = [f"change {format_estimate(e.change.value, e.change.se, signed=True)}" for e in effects]
    for name, estimates, colour, symbol, offset in kinds:
        texts = [
            f"{label}<br>{name} {format_estimate(estimate.value, estimate.se)}<br>{change}"
            for label, estimate, change in zip(labels, estimates, changes, strict=True)
        ]
        figure.add_scatter(
            x=[e.value for e in estimates],
            y=[i + offset for i in range(len(labels))],
            mode="markers",
            name=name,
            text=texts,
            hovertemplate="%{text}<extra></extra>",
            marker={"size": 8, "symbol": symbol, "color": colour},
            error_x={**whiskers(estimates, 0, 1), "color": colour, "thickness": 1.4, "width": 3},
        )
    lay_out(
        figure,
        colours,
        height=84 + 30 * len(labels),
        margin={"l": 8, "r": 12, "t": 32, "b": 8},
        showlegend=True,
        dragmode=False,
        legend=LEGEND | {"traceorder": "reversed"},
        xaxis={
            "title": {"text": "mean toxicity"},
            "rangemode": "tozero",
            "gridcolor": colours.grid,
            "automargin": True,
            "fixedrange": True,
            "zeroline": False,
            "nticks": 5,
        },
        yaxis={
            "tickvals": list(range(len(labels))),
            "ticktext": labels,
            "range": [-0.6, len(labels) - 0.4],
            "automargin": True,
            "fixedrange": True,
            "ticklabelstandoff": 6,
            "showgrid": False,
            "zeroline": False,
        },
    )
    return figure
