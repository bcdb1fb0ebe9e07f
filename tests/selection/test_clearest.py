"""The app opens where a bias is clearest, and on the first axis where nothing is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fasp_core.selection.clearest import clearest_axis, clearest_metric
from fasp_core.selection.description import BiasVerdict, IntactBias
from fasp_core.selection.head_scores import HeadScores


def scores(**verdicts: BiasVerdict | None) -> HeadScores:
    frame = pd.DataFrame({"layer": [0, 0], "head": [0, 1], "z_ppl": [0.1, 0.2], "z_ppl_se": [0.1, 0.1]})
    for axis in verdicts:
        frame[f"z_bias.{axis}"], frame[f"z_bias_se.{axis}"] = np.zeros(2), np.ones(2)
    return HeadScores(frame, 1, 2, intact={axis: IntactBias(verdict=known) for axis, known in verdicts.items()})


def verdict(state: str, p: float, low: float = 0.0, matters: float = 0.02) -> BiasVerdict:
    return BiasVerdict(state, p, low, low + 0.1, matters)


def test_the_smallest_p_value_then_the_largest_bias():
    assert clearest_axis(scores(a=verdict("clear", 0.04, 0.05), b=verdict("clear", 0.01, 0.03))) == "b"
    assert clearest_axis(scores(a=verdict("clear", 0.01, 0.03), b=verdict("clear", 0.01, 0.05))) == "b"


def test_a_bias_too_small_to_matter_is_no_reason():
    assert clearest_axis(scores(a=verdict("none that matters", 0.001), b=verdict("clear", 0.04))) == "b"


def test_without_verdicts_it_is_the_first_axis():
    assert clearest_axis(scores(a=None, b=None)) == "a"
    assert clearest_axis(scores()) is None


def test_metrics_of_different_units_compare_by_what_matters():
    toxicity = scores(a=verdict("clear", 0.0005, 0.06))  # three times what matters
    likelihood = scores(a=verdict("clear", 0.0005, 0.5, matters=0.2), b=verdict("not clear yet", 0.3))
    assert clearest_metric({"likelihood": likelihood, "toxicity": toxicity}) == "toxicity"
    assert clearest_metric({"toxicity": scores(a=None), "likelihood": scores(a=None)}) == "toxicity"
