"""The attention map, read back from the figure."""

from __future__ import annotations

import math

from fasp_core.figures import attention_map


def test_rows_are_what_each_token_attends_to_and_names_are_escaped():
    figure = attention_map(["a", "<b>", "\n", ""], [[1.0], [0.75, 0.25], [0.2, 0.3, 0.5], [0.25] * 4])
    (heatmap,) = figure.data
    assert [list(row) for row in heatmap.z][1][:2] == [0.75, 0.25]
    assert math.isnan(heatmap.z[0][1])
    assert list(figure.layout.yaxis.ticktext) == ["a", "&lt;b&gt;", "⏎", "·"]
    assert len(set(heatmap.x)) == 4
    assert figure.layout.yaxis.autorange == "reversed"
