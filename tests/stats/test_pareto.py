"""The Pareto front against its definition, pair by pair."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.stats.pareto import pareto_front

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6) | st.just(float("nan"))), max_size=12)


def test_by_hand():
    # (26, 0.2) is beaten by (25, 0.1); equal points do not beat each other; a point without a bias is never on it.
    ppl, bias = [20, 25, 26, 20, 10], [0.3, 0.1, 0.2, 0.3, np.nan]
    assert pareto_front(ppl, bias).tolist() == [True, True, False, True, False]


@given(POINTS)
def test_the_pareto_front_is_what_nobody_beats(points):
    front = pareto_front([p for p, _ in points], [b for _, b in points])
    for (ppl, bias), on_front in zip(points, front.tolist(), strict=True):
        beaten = any(p <= ppl and b <= bias and (p < ppl or b < bias) for p, b in points)
        assert on_front == (not np.isnan(bias) and not beaten)
