"""Every measured set as a point: its bias against its perplexity, the Pareto front, and the intact model."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from fasp_core.figures.palette import palette
from fasp_core.figures.style import lay_out, whiskers
from fasp_core.stats.estimate import Estimate
from fasp_core.words.numbers import format_estimate


def history_plot(
    ppl: Sequence[Estimate],
    bias: Sequence[Estimate],
    labels: Sequence[str],
    front: Sequence[bool] | np.ndarray,
    *,
    quantity: str = "bias by toxicity",
    before: tuple[Estimate, Estimate] | None = None,
    current: int | None = None,
    pinned: Sequence[bool] = (),
    apart: Sequence[bool] = (),
    dark: bool = False,
) -> go.Figure:
    """Pruned sets by perplexity and bias (the `quantity` upwards), with 95 % intervals; lower left is better.

    `front` says which sets no other set beats; a line joins them. `before` is the intact model, `current` the index of
    the selected set, `pinned` says which sets have a star. Sets `apart` cannot be compared with the others, because
    they were measured on other texts: they are hollow and grey. Trace 0 holds the sets in their order, for clicks.
    """
    colours = palette(dark)
    x, y = [e.value for e in ppl], [e.value for e in bias]
    on_front = np.flatnonzero(np.asarray(front, bool))
    on_front = on_front[np.argsort([x[i] for i in on_front], kind="stable")]
    fills = [colours.pruned if i in set(on_front.tolist()) else colours.muted for i in range(len(x))]
    stars, hollow = ([*flags] if len(flags) else [False] * len(x) for flags in (pinned, apart))
    symbols = [("star" if s else "circle") + ("-open" if h else "") for s, h in zip(stars, hollow, strict=True)]
    texts = [
        f"{html.escape(label)}<br>perplexity {format_estimate(p.value, p.se)}<br>"
        f"{html.escape(quantity)} {format_estimate(b.value, b.se)}"
        for label, p, b in zip(labels, ppl, bias, strict=True)
    ]
    visible = {"marker": {"opacity": 1}}
    bars = {"color": colours.faint, "thickness": 1, "width": 0}
    figure = go.Figure(
        go.Scatter(
            x=x,
            y=y,
            mode="markers",
            text=texts,
            hovertemplate="%{text}<extra></extra>",
            name="sets",
            marker={
                "size": [14 if star else 9 for star in stars],
                "color": fills,
                "opacity": 1,
                "symbol": symbols,
            },
            error_x={**whiskers(ppl, 1), **bars},
            error_y={**whiskers(bias, 0), **bars},
            selected=visible,
            unselected=visible,
        )
    )
    figure.add_scatter(
        x=[x[i] for i in on_front],
        y=[y[i] for i in on_front],
        mode="lines",
        hoverinfo="skip",
        name="Pareto front",
        line={"color": colours.pruned, "width": 1.5, "dash": "dot", "shape": "hv"},
    )
    if before is not None:
        figure.add_scatter(
            x=[before[0].value],
            y=[before[1].value],
            mode="markers+text",
            text=["intact"],
            name="intact",
            textposition="top center",
            textfont={"color": colours.before},
            hoverinfo="skip",
            marker={"size": 11, "symbol": "diamond", "color": colours.before},
        )
    if current is not None:
        figure.add_scatter(
            x=[x[current]],
            y=[y[current]],
            mode="markers",
            hoverinfo="skip",
            name="shown",
            marker={"size": 18, "symbol": "circle-open", "color": colours.selected, "line": {"width": 2}},
        )
    axis = {"gridcolor": colours.grid, "zeroline": False, "automargin": True, "fixedrange": True, "nticks": 6}
    lay_out(
        figure,
        colours,
        height=340,
        margin={"l": 8, "r": 12, "t": 12, "b": 8},
        clickmode="event+select",
        dragmode=False,
        xaxis={**axis, "title": {"text": "perplexity · lower is better"}},
        yaxis={**axis, "title": {"text": f"{quantity} · lower is better"}},
    )
    return figure
