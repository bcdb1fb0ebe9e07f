"""How biases correlate over heads: a matrix of correlations with their intervals, and the heads themselves by axis."""

from __future__ import annotations

import html
from collections.abc import Sequence
from textwrap import wrap

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fasp_core.figures.palette import palette
from fasp_core.figures.style import LEGEND, lay_out
from fasp_core.head import head_of, head_text
from fasp_core.selection.correlations import AxisCorrelations
from fasp_core.stats.rank_agreement import RankAgreement
from fasp_core.words.numbers import axis_label, format_fixed

_MUTED_OPACITY = 0.35
MOST_POINTS = 12_000  # in all panels together; beyond that every k-th head is drawn


def correlation_matrix(correlations: AxisCorrelations, *, dark: bool = False) -> go.Figure:
    """Correlation of z_bias between every two axes, −1 to 1: below the diagonal r, above it the 95 % interval.

    Cells whose interval includes 0 are faded. The diagonal, 1 by definition, is left empty.
    """
    labels = [html.escape(axis_label(axis)) for axis in correlations.axes]
    parts = correlations.r, correlations.low, correlations.high
    return _matrix(labels, *parts, clear=_leaves_out_zero(*parts[1:]), dark=dark)


def agreement_matrix(
    names: Sequence[str], agreement: RankAgreement, muted: np.ndarray, *, dark: bool = False
) -> go.Figure:
    """Rank correlation between every two measures, drawn as `correlation_matrix` is; k names.

    Faded too where `muted` (k, k) says that the data cannot tell.
    """
    clear = _leaves_out_zero(agreement.low, agreement.high) & ~muted
    labels = ["<br>".join(wrap(html.escape(name), 22)) for name in names]
    return _matrix(labels, agreement.r, agreement.low, agreement.high, clear=clear, dark=dark)


def _leaves_out_zero(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.nan_to_num(low) * np.nan_to_num(high) > 0


def _matrix(
    labels: list[str], r: np.ndarray, low: np.ndarray, high: np.ndarray, *, clear: np.ndarray, dark: bool
) -> go.Figure:
    """The matrix of values `r` (n, n), −1 to 1, with intervals; cells that are not `clear` are faded."""
    colours, n = palette(dark), len(labels)
    pair = ~np.eye(n, dtype=bool)
    figure = go.Figure()
    for mask, opacity in ((clear & pair, 1.0), (~clear & pair, _MUTED_OPACITY)):
        figure.add_heatmap(
            z=np.where(mask, r, np.nan),
            coloraxis="coloraxis",
            opacity=opacity,
            hoverinfo="skip",
            xgap=2,
            ygap=2,
        )
    for row, column in np.argwhere(pair):
        value, *ends = (_number(m[row, column]) for m in (r, low, high))
        strong = abs(np.nan_to_num(r[row, column])) > 0.6 and clear[row, column]
        figure.add_annotation(
            x=column,
            y=row,
            showarrow=False,
            text=f"<b>{value}</b>" if row > column else "<br>".join(ends),
            font={"size": 14 if row > column else 11, "color": colours.page if strong else colours.text},
            hovertext=f"{labels[row]} with {labels[column]}<br>{value} ({' to '.join(ends)})",
        )
    axis = {
        "tickvals": list(range(n)),
        "ticktext": labels,
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
        "ticks": "",
    }
    lay_out(
        figure,
        colours,
        height=120 + max(36, 250 // n) * n,
        margin={"l": 8, "r": 8, "t": 30, "b": 8},
        dragmode=False,
        xaxis={**axis, "range": [-0.5, n - 0.5], "tickangle": 0 if n <= 2 else -40},
        yaxis={**axis, "range": [n - 0.5, -0.5]},
        coloraxis={"colorscale": [list(stop) for stop in colours.z_bias], "cmin": -1, "cmax": 1, "showscale": False},
    )
    return figure


def _number(value: float) -> str:
    return format_fixed(value, 2) if np.isfinite(value) else "–"


def axis_scatter_matrix(
    values: dict[str, np.ndarray], kept: np.ndarray, shown: np.ndarray, *, heads_per_layer: int, dark: bool = False
) -> go.Figure:
    """z_bias of every two axes against each other, one point per head, a panel per pair (below the diagonal).

    `values` maps each axis to (N,); `kept` (N) bool are the unprotected heads, drawn as circles, the others as squares;
    only heads in `shown` (N) bool are drawn. Each point's `customdata` is its head, `13.1`.
    """
    colours, axes = palette(dark), list(values)
    n = len(axes)
    heads = np.flatnonzero(shown)
    step = max(1, -(-heads.size * n * (n - 1) // 2 // MOST_POINTS))
    drawn = np.union1d(heads[::step], heads[~kept[heads]]) if step > 1 else heads
    figure = make_subplots(
        n - 1, n - 1, shared_xaxes=True, shared_yaxes=True, horizontal_spacing=0.02, vertical_spacing=0.02
    )
    names = [head_text(head_of(flat, heads_per_layer)) for flat in range(len(kept))]
    visible = {"marker": {"opacity": 0.7}}
    kinds = (
        ("unprotected", drawn[kept[drawn]], "circle", colours.before),
        ("protected", drawn[~kept[drawn]], "square", colours.protected),
    )
    for row in range(1, n):
        for column in range(row):
            for name, which, symbol, colour in kinds:
                if not which.size:
                    continue
                figure.add_scatter(
                    x=values[axes[column]][which].tolist(),
                    y=values[axes[row]][which].tolist(),
                    mode="markers",
                    name=name,
                    customdata=[names[head] for head in which],
                    hovertemplate="head %{customdata}<extra></extra>",
                    selected=visible,
                    unselected=visible,
                    showlegend=(row, column) == (1, 0),
                    legendgroup=name,
                    marker={"size": 4, "symbol": symbol, "color": colour, "opacity": 0.7},
                    row=row,
                    col=column + 1,
                )
    lay_out(
        figure,
        colours,
        height=120 + max(130, 300 // (n - 1)) * (n - 1),
        margin={"l": 60, "r": 8, "t": 34, "b": 64},
        dragmode=False,
        clickmode="event+select",
        showlegend=True,
        legend=LEGEND,
    )
    look = {
        "gridcolor": colours.grid,
        "zeroline": True,
        "zerolinecolor": colours.muted,
        "zerolinewidth": 1,
        "fixedrange": True,
        "nticks": 3,
        "tickangle": 0,
        "tickfont": {"size": 10, "color": colours.muted},
    }
    figure.update_xaxes(**look)
    figure.update_yaxes(**look)
    for i in range(n - 1):
        figure.update_xaxes(
            title={"text": "<br>".join(map(html.escape, wrap(axis_label(axes[i]), 11))), "font": {"size": 12}},
            row=n - 1,
            col=i + 1,
        )
        figure.update_yaxes(
            title={"text": html.escape(axis_label(axes[i + 1])), "font": {"size": 12}}, row=i + 1, col=1
        )
    return figure
