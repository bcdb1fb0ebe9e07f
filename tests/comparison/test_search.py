"""The search within a budget, on models made by formula: what is planted is found, and the budget is kept."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers.made_metrics import made_metrics
from helpers.made_scores import AXIS, make_scores

from fasp_core.comparison.search import (
    Candidate,
    best_within,
    candidates,
    known_rises,
    next_candidate,
    ppl_rise,
    search,
)
from fasp_core.errors import Cancelled, InputError
from fasp_core.evaluation.history import MeasuredSet
from fasp_core.evaluation.keys import Target
from fasp_core.evaluation.result import Evaluation
from fasp_core.selection.head_scores import HeadScores
from fasp_core.stats.estimate import Estimate


def evaluation(heads, rise: float, change: float, done: float = 1.0) -> Evaluation:
    def metrics(ppl, bias):
        return made_metrics(Estimate(ppl, 0.1, 50), {AXIS: Estimate(bias, 0.01, 450)})

    parts = metrics(20, 0.3), metrics(20 * (1 + rise), 0.3 + change), metrics(20 * rise, change)
    return Evaluation(tuple(heads), "valid", *parts, 450, 50, done)


def candidate(heads, rise: float, fall: float) -> Candidate:
    return Candidate(tuple(heads), "fasp", 0.3, 0.1, rise, fall)


@pytest.fixture
def scores() -> HeadScores:
    """40 heads: 8 drive the bias by 0.02 each, of which 4 cost 4 % of perplexity each; the others do nothing."""
    drive, need = np.zeros(40), np.full(40, 0.03)
    drive[:8], need[:4], need[4:8] = 0.02, 0.02, 0.8
    return make_scores(need, drive, 10, meta={"base_ppl": 20.0, "base_bias": {AXIS: 0.3}})


def measure_by_truth(scores, log):
    def measure(heads, compensate):
        flat = [layer * scores.heads_per_layer + head for layer, head in heads]
        log.append(tuple(heads))
        rise, fall = 1.3 * scores.z_ppl[flat].sum() / 20, scores.z_bias(AXIS)[flat].sum()
        yield evaluation(heads, rise, -fall, 0.5)
        yield evaluation(heads, rise, -fall)

    return measure


def found_sets(results):
    return [MeasuredSet(Target("s", e.pruned, (AXIS,), "valid", e.compensate), "plan", e, 0.0) for e in results]


def test_the_cheap_heads_that_drive_the_bias_are_found_within_the_budget(scores):
    log = []
    results = search(candidates(scores, AXIS), measure_by_truth(scores, log), known={}, limit=0.05)
    assert len(log) == len({*log}) <= 8
    best = best_within(found_sets(results), AXIS, 0.05)
    planted = {(0, head) for head in range(4)}
    assert planted <= {*best.target.heads}
    assert best.evaluation.change.ppl.value / 20 <= 0.05


def test_what_was_measured_is_not_measured_again_and_corrects_the_others():
    sets = [candidate([(0, 0)], 0.02, 0.1), candidate([(0, 1), (0, 2)], 0.04, 0.3)]
    assert next_candidate(sets, {}, 0.05).heads == sets[0].heads  # 1.5 × 0.04 is beyond the budget
    assert next_candidate(sets, {sets[0].heads: 0.02}, 0.05).heads == sets[1].heads  # sums turned out right
    assert next_candidate(sets, {sets[0].heads: 0.06}, 0.05) is None  # everything costs three times as much


def test_sets_are_measured_in_every_way_and_the_cheapest_tells_what_fits(scores):
    """Taking over leaves 0.3 of the rise and all of the fall: what is too dear with nothing in its place now fits."""
    dear, log = np.ones(40), []
    dear[:4], dear[4:8] = 0.3, 0.8  # the first four 6 % of perplexity together, 1.8 % where the others take over
    scores = make_scores(dear, scores.z_bias(AXIS), 10, meta={"base_ppl": 20.0, "base_bias": {AXIS: 0.3}})

    def measure(heads, compensate):
        log.append((heads, compensate))
        flat = [layer * 10 + head for layer, head in heads]
        rise = scores.z_ppl[flat].sum() / 20 * (0.3 if compensate == "least_squares" else 1)
        yield replace(evaluation(heads, rise, -scores.z_bias(AXIS)[flat].sum()), compensate=compensate)

    ways = ("none", "least_squares")
    results = search(candidates(scores, AXIS), measure, known={}, limit=0.05, ways=ways)
    assert [how for _, how in log] == list(ways) * (len(log) // 2)
    best = best_within(found_sets(results), AXIS, 0.05)
    alone = best_within(found_sets(search(candidates(scores, AXIS), measure, known={}, limit=0.05)), AXIS, 0.05)
    assert len(alone.target.heads) < 4 <= len(best.target.heads)
    assert best.target.compensate == "least_squares"
    assert {(0, head) for head in range(4)} <= {*best.target.heads}
    known = known_rises(found_sets(results), ways)
    assert known[best.target.heads] == pytest.approx(ppl_rise(best.evaluation))
    assert known_rises(found_sets(results[:1]), ways) == {}


def test_scores_under_compensation_need_no_discount_for_it(scores):
    """Four heads of 6 % of perplexity: by plain scores 1.5 · 0.4 · 6 % are expected, which 5 % allow.

    What scores under compensation sum up to is left once the others have taken over: 1.5 · 6 %; two heads are allowed.
    """
    need = np.ones(40)
    need[:4] = 0.3
    plain = make_scores(need, scores.z_bias(AXIS), 10, meta={"base_ppl": 20.0, "base_bias": {AXIS: 0.3}})
    under = replace(plain, meta=plain.meta.model_copy(update={"compensate": "least_squares"}))
    first = {}
    for known in (plain, under):
        log, found = [], candidates(known, AXIS)
        search(found, measure_by_truth(known, log), known={}, limit=0.05, most=1, ways=("least_squares",))
        first[known.meta.compensate] = len(log[0])
        assert {candidate.compensated for candidate in found} == {known is under}
    assert first == {None: 4, "least_squares": 2}


def test_a_set_that_nearly_equals_a_measured_one_is_left_out():
    many = [(0, head) for head in range(10)]
    near, other = candidate([*many, (1, 0)], 0.01, 0.5), candidate([(2, 0)], 0.01, 0.1)
    assert next_candidate([near, other], {tuple(many): 0.01}, 0.05).heads == other.heads


def test_without_a_lower_bias_or_within_no_budget_there_is_no_best():
    sets = found_sets([evaluation([(0, 0)], 0.2, -0.1), evaluation([(0, 1)], 0.01, 0.05)])
    assert best_within(sets, AXIS, 0.05) is None
    assert best_within(sets, AXIS, 0.3).target.heads == ((0, 0),)


def test_no_more_sets_than_asked_and_a_stop_is_heeded(scores):
    log = []
    search(candidates(scores, AXIS), measure_by_truth(scores, log), known={}, limit=math.inf, most=2)
    assert len(log) == 2
    with pytest.raises(Cancelled, match="run it again"):
        search(candidates(scores, AXIS), measure_by_truth(scores, []), known={}, limit=1.0, stop=lambda: True)


def test_scores_without_an_intact_model_cannot_keep_a_budget(scores):
    with pytest.raises(InputError, match="no perplexity of the intact model"):
        candidates(replace(scores, intact_ppl=type(scores.intact_ppl)()), AXIS)
