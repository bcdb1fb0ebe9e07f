"""Charts: pure functions, numbers in, plotly Figure out; for pages and notebooks alike. No torch, no streamlit here."""

from .effects import effect_intervals, group_bars
from .history import history_plot
from .maps import head_heatmap, selection_map
from .scatter import MOST_ERROR_BARS, head_scatter
from .style import CHART_CONFIG, MAP_CONFIG, colour_limit

__all__ = [
    "CHART_CONFIG", "MAP_CONFIG", "MOST_ERROR_BARS",
    "colour_limit", "effect_intervals", "group_bars", "head_heatmap", "head_scatter", "history_plot", "selection_map",
]  # fmt: skip
