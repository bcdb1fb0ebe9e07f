"""Charts: pure functions, numbers in, plotly Figure out; for pages and notebooks alike. No torch, no streamlit here."""

from fasp_core.figures.attention import attention_map
from fasp_core.figures.comparison import comparison_curves, predicted_measured, side_effects, trade_off
from fasp_core.figures.correlations import agreement_matrix, axis_scatter_matrix, correlation_matrix
from fasp_core.figures.effects import effect_intervals, group_bars
from fasp_core.figures.groups import head_gaps, head_groups
from fasp_core.figures.history import history_plot
from fasp_core.figures.maps import head_heatmap, selection_map
from fasp_core.figures.scatter import MOST_ERROR_BARS, head_scatter
from fasp_core.figures.style import CHART_CONFIG, MAP_CONFIG, saving
from fasp_core.words.numbers import colour_limit

__all__ = [
    "CHART_CONFIG",
    "MAP_CONFIG",
    "MOST_ERROR_BARS",
    "agreement_matrix",
    "attention_map",
    "axis_scatter_matrix",
    "colour_limit",
    "comparison_curves",
    "correlation_matrix",
    "effect_intervals",
    "group_bars",
    "head_gaps",
    "head_groups",
    "head_heatmap",
    "head_scatter",
    "history_plot",
    "predicted_measured",
    "saving",
    "selection_map",
    "side_effects",
    "trade_off",
]
