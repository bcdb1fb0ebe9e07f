"""What one head does to each group, read back from the figure."""

from __future__ import annotations

import pytest

from fasp_core.figures import head_groups
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.head_detail import GroupEffect


def test_head_groups_shows_the_most_toxic_group_on_top_and_escapes_names():
    effects = [
        GroupEffect(name, Estimate(value, 0.01, 9), Estimate(value + 0.05, 0.02, 9), Estimate(0.05, 0.003, 9))
        for name, value in (("other_group", 0.3), ("<b>x</b>", 0.1))
    ]
    figure = head_groups(effects)
    without, with_head = figure.data
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b&gt;x&lt;/b&gt;", "other group"]
    assert list(with_head.x) == [0.1, 0.3]
    assert list(without.x) == pytest.approx([0.15, 0.35])
    assert without.error_x.array[0] == pytest.approx(1.96 * 0.02, abs=1e-3)
    assert "change +0.0500 ± 0.0030" in with_head.text[0]
