"""Evaluations as JSON: every number comes back as it was, NaN and infinity too."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from helpers.made_metrics import made_metrics
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.evaluation.result import Evaluation, Metrics
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.paired import AxisMetrics

NUMBER = st.floats()
NAME = st.text(max_size=8)
ESTIMATE = st.builds(Estimate, NUMBER, NUMBER, st.integers(0, 10**6), st.none() | st.integers(1, 99))
AXIS = st.builds(AxisMetrics, ESTIMATE, st.dictionaries(NAME, ESTIMATE, max_size=2), ESTIMATE, st.none() | NUMBER)
METRICS = st.builds(
    Metrics, ESTIMATE, st.dictionaries(NAME, AXIS, max_size=2), st.dictionaries(NAME, ESTIMATE, max_size=2)
)
HEADS = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=3).map(tuple)
EVALUATION = st.builds(
    Evaluation,
    HEADS,
    st.sampled_from(["valid", "test"]),
    METRICS,
    METRICS,
    METRICS,
    st.integers(0, 999),
    st.integers(0, 999),
    st.floats(0, 1),
)


@given(EVALUATION)
def test_it_is_read_as_it_was_written(made):
    again = Evaluation.from_json(made.to_json())
    assert repr(again) == repr(made)  # as nan != nan


@given(EVALUATION)
def test_what_is_written_is_json_for_everybody(made):
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    json.loads(made.to_json(), parse_constant=refuse)


def test_nan_and_infinity_survive():
    part = made_metrics(Estimate(math.nan, math.inf, 0), {"religion": Estimate(0.1, math.nan, 3, 2)})
    again = Evaluation.from_json(Evaluation(((0, 1),), "test", part, part, part, 3, 0, 0.5).to_json())
    assert np.isnan(again.ppl)
    assert again.ppl_se == math.inf
    assert again.bias == {"religion": 0.1}
    assert np.isnan(again.bias_se["religion"])
    assert again.after.axes["religion"].bias.df == 2


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"pruned": [[0, 1]], "split": "valid"}'])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011
        Evaluation.from_json(text)


def test_the_short_names_are_those_of_the_pruned_model():
    before, after = (
        made_metrics(Estimate(ppl, 0.5, 9), {"age": Estimate(b, 0.01, 9)}) for ppl, b in ((20, 0.3), (21, 0.2))
    )
    made = Evaluation((), "valid", before, after, before, 9, 9, 1.0)
    assert (made.ppl, made.ppl_se, made.bias, made.bias_se) == (21, 0.5, {"age": 0.2}, {"age": 0.01})
    assert made.done
