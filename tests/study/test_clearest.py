"""The measure that is taken where none is named: the one by which the bias is clearest."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fasp_core.selection.description import BiasVerdict
from fasp_core.stats.sample_size import CLEAR, NOT_YET
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study import clearest
from fasp_core.study.clearest import clearest_metric_for


def verdict(state: str, p_value: float) -> BiasVerdict:
    return BiasVerdict(state, p_value, matters=0.1, low=0.1, high=0.3)


KNOWN = {
    ("religion", "toxicity"): verdict(NOT_YET, 0.6),
    ("religion", "likelihood"): verdict(CLEAR, 0.001),
    ("gender", "toxicity"): verdict(CLEAR, 0.0001),
    ("gender", "likelihood"): verdict(CLEAR, 0.01),
    ("age", "likelihood"): verdict(NOT_YET, 0.9),
}


@pytest.fixture
def study(monkeypatch):
    monkeypatch.setattr(
        clearest, "measured_axes", lambda _, metric: [axis for axis, measured in KNOWN if measured == metric]
    )
    monkeypatch.setattr(
        clearest,
        "kept_scores",
        lambda _, axis, *, metric, compensate: SimpleNamespace(verdict=lambda asked: KNOWN[asked, metric]),
    )
    return SimpleNamespace(metrics=["toxicity", "likelihood"])


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ("religion", "likelihood"),
        ("gender", "toxicity"),
        ("age", "likelihood"),  # the only one it has
        ("nationality", "toxicity"),  # not scored: the study's first
        (MEAN_TOXICITY, "toxicity"),
    ],
)
def test_the_measure_is_the_one_that_sees_the_bias_of_the_axis_best(study, axis, expected):
    assert clearest_metric_for(study, axis) == expected
