"""What one head does to each group: its mean, or its distance from the mean group, with the head and without it."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from fasp_core.figures.palette import palette
from fasp_core.figures.style import LEGEND, lay_out, whiskers
from fasp_core.selection.group_effects import GroupEffects
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.head_detail import GroupEffect
from fasp_core.words.numbers import format_estimate


def head_groups(effects: Sequence[GroupEffect], *, dark: bool = False) -> go.Figure:
    """Mean toxicity of each group with the head (circle) and without it (diamond), with 95 % intervals.

    The most toxic group is on top. The intervals are those of the two means. Both means come from the same samples, so
    the interval of their difference is far narrower; it is shown on hover.
    """
    effects = sorted(effects, key=lambda effect: effect.with_head.value)
    labels = [html.escape(effect.group.replace("_", " ")) for effect in effects]
    pairs = [e.with_head for e in effects], [e.without_head for e in effects], [e.change for e in effects]
    return _dumbbells(labels, *pairs, "mean toxicity", from_zero=True, dark=dark)


def head_gaps(effects: GroupEffects, head: int, *, unit: str, dark: bool = False) -> go.Figure:
    """How far each group lies from the mean group (μ_g − μ) with the head and without it; the highest is on top.

    `head` is a flat id. Around the first stands the interval of the group's own distance, around the second that of
    the change alone: both come from the same readings.
    """
    order = np.argsort(-effects.gaps)
    labels = [html.escape(effects.groups[g].replace("_", " ")) for g in order]
    with_head = [Estimate(float(-effects.gaps[g]), float(effects.gaps_se[g]), 0) for g in order]
    changes = [Estimate(float(-effects.effects[head, g]), float(effects.effects_se[head, g]), 0) for g in order]
    without = [Estimate(w.value + c.value, c.se, 0) for w, c in zip(with_head, changes, strict=True)]
    return _dumbbells(labels, with_head, without, changes, f"above or below the mean of the groups{unit}", dark=dark)


def _dumbbells(
    labels: list[str],
    with_head: list[Estimate],
    without_head: list[Estimate],
    changes: list[Estimate],
    title: str,
    *,
    dark: bool,
    from_zero: bool = False,
) -> go.Figure:
    """A circle and a diamond per label, from the lowest up; `from_zero`: the values lie between 0 and 1."""
    colours = palette(dark)
    figure = go.Figure()
    kinds = (
        ("without the head", without_head, colours.pruned, "diamond", -0.14),
        ("with the head", with_head, colours.before, "circle", 0.14),
    )
    said = [f"change {format_estimate(change.value, change.se, signed=True)}" for change in changes]
    span = (0.0, 1.0) if from_zero else (-np.inf, np.inf)
    for name, estimates, colour, symbol, offset in kinds:
        texts = [
            f"{label}<br>{name} {format_estimate(estimate.value, estimate.se, signed=not from_zero)}<br>{change}"
            for label, estimate, change in zip(labels, estimates, said, strict=True)
        ]
        figure.add_scatter(
            x=[e.value for e in estimates],
            y=[i + offset for i in range(len(labels))],
            mode="markers",
            name=name,
            text=texts,
            hovertemplate="%{text}<extra></extra>",
            marker={"size": 8, "symbol": symbol, "color": colour},
            error_x={
                **whiskers(estimates, *span),
                "color": colour,
                "thickness": 1.4,
                "width": 3,
            },
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
            "title": {"text": title},
            "rangemode": "tozero" if from_zero else "normal",
            "gridcolor": colours.grid,
            "automargin": True,
            "fixedrange": True,
            "zeroline": not from_zero,
            "zerolinecolor": colours.muted,
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
