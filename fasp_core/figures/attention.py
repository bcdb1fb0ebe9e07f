"""What a head attends to on one text: a map of tokens by tokens."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from fasp_core.figures.palette import palette
from fasp_core.figures.style import lay_out

SIDE = 18  # pixels of a token


def attention_map(tokens: Sequence[str], weights: Sequence[Sequence[float]], *, dark: bool = False) -> go.Figure:
    """Weights of a head, 0 to 1: row t is token t, which reads, and its columns the tokens 0…t that it attends to.

    `weights` has T rows, row t with t + 1 numbers that sum to 1. The first token often takes most of it: a head that
    finds nothing to attend to rests there.
    """
    colours, n = palette(dark), len(tokens)
    matrix = np.full((n, n), np.nan)
    for t, row in enumerate(weights):
        matrix[t, : t + 1] = row
    names = [html.escape(token.replace("\n", "⏎")) or "·" for token in tokens]
    labels = [f"{i} {name}" for i, name in enumerate(names)]  # tokens repeat, places do not
    figure = go.Figure()
    figure.add_heatmap(
        z=matrix,
        x=labels,
        y=labels,
        colorscale=[[0, colours.page], [1, colours.before]],
        zmin=0,
        zmax=1,
        hovertemplate="%{y} attends to %{x}: %{z:.2f}<extra></extra>",
        xgap=1,
        ygap=1,
        hoverongaps=False,
        colorbar={"title": {"text": "weight", "side": "right"}, "thickness": 12},
    )
    ticks = {"tickvals": labels, "ticktext": names, "automargin": True, "fixedrange": True, "showgrid": False}
    lay_out(
        figure,
        colours,
        height=144 + SIDE * n,
        margin={"l": 8, "r": 8, "t": 32, "b": 8},  # above it is the button that saves it
        dragmode=False,
        xaxis={**ticks, "tickangle": -60, "title": {"text": "attends to"}},
        yaxis={**ticks, "autorange": "reversed", "title": {"text": "token"}},
    )
    return figure
