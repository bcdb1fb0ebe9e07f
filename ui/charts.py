"""Drawing a chart: the theme's colours are the caller's, its button saves it as the image chosen in the sidebar."""

from __future__ import annotations

from collections.abc import Callable

import plotly.graph_objects as go
import streamlit as st

from fasp_core.figures import CHART_CONFIG, MAP_CONFIG, saving
from ui import words
from ui.view import bound, view


def draw(
    figure: go.Figure,
    *,
    key: str,
    alt: str,
    filename: str,
    is_map: bool = False,
    on_select: Callable[[], None] | None = None,
    several: bool = False,
) -> None:
    """Show a chart with its text alternative; `on_select` is called when points were clicked, or boxed (`several`)."""
    config = saving({**(MAP_CONFIG if is_map else CHART_CONFIG), "doubleClickDelay": 1}, filename, view()["image"])
    # Each button that saves a chart has a name of its own: plotly looks its name up in this dictionary first.
    names = dict.fromkeys(("Download plot", "Download plot as a PNG"), f"Save chart {filename}")
    config["locales"] = {"en-US": {"dictionary": names}}
    selecting = {"on_select": on_select, "selection_mode": ("points", "box") if several else ("points",)}
    st.plotly_chart(figure, key=key, theme=None, config=config, alt=alt, **(selecting if on_select else {}))


def image_picker() -> None:
    """The sidebar's choice of what a chart is saved as."""
    st.sidebar.segmented_control(
        "Save charts as",
        ["svg", "png"],
        format_func=str.upper,
        required=True,
        **bound("image"),
        help=words.SAVE_CHARTS,
    )
