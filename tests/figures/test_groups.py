"""What one head does to each group, read back from the figure."""

from __future__ import annotations

import numpy as np
import pytest

from fasp_core.figures import head_gaps, head_groups
from fasp_core.selection.group_effects import GroupEffects
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


def test_head_gaps_shows_the_distance_of_each_group_and_the_error_of_the_change_alone():
    # Gaps are μ − μ_g: group "a" lies 0.2 above the mean of the groups; without head 1 it would lie 0.05 above.
    effects = GroupEffects(
        groups=("a", "<b>b</b>"),
        gaps=np.array([-0.2, 0.2]),
        gaps_se=np.array([0.1, 0.1]),
        effects=np.array([[0.0, 0.0], [0.15, -0.15]]),
        effects_se=np.array([[0.0, 0.0], [0.01, 0.02]]),
    )
    without, with_head = head_gaps(effects, 1, unit=" (nats)").data
    assert list(with_head.x) == [-0.2, 0.2]
    assert list(without.x) == pytest.approx([-0.05, 0.05])
    assert with_head.error_x.array[0] == pytest.approx(1.96 * 0.1, abs=1e-3)
    assert list(without.error_x.array) == pytest.approx([1.96 * 0.02, 1.96 * 0.01], abs=1e-3)
    assert "change −0.150 ± 0.010" in with_head.text[1]
    assert list(head_gaps(effects, 1, unit="").layout.yaxis.ticktext) == ["&lt;b&gt;b&lt;/b&gt;", "a"]


def test_head_gaps_of_a_head_that_does_nothing_are_the_same():
    zero = np.zeros((1, 2))
    without, with_head = head_gaps(GroupEffects(("a", "b"), zero[0] + 0.1, zero[0], zero, zero), 0, unit="").data
    assert list(without.x) == list(with_head.x)
