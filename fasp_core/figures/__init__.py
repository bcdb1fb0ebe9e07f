"""Charts: pure functions, numbers in, plotly Figure out; for pages and notebooks alike. No torch, no streamlit here."""

from .comparison import comparison_curves, predicted_measured, side_effects, trade_off
from .correlations import axis_scatter_matrix, correlation_matrix
from .effects import effect_intervals, group_bars
from .groups import head_groups
from .history import history_plot
from .maps import head_heatmap, selection_map
from .scatter import MOST_ERROR_BARS, head_scatter
from .style import CHART_CONFIG, MAP_CONFIG, colour_limit, saving

__all__ = [
    "CHART_CONFIG", "MAP_CONFIG", "MOST_ERROR_BARS",
    "axis_scatter_matrix", "colour_limit", "comparison_curves", "correlation_matrix", "effect_intervals", "group_bars",
    "head_groups", "head_heatmap", "head_scatter", "history_plot", "predicted_measured", "saving", "selection_map",
    "side_effects", "trade_off",
]  # fmt: skip
