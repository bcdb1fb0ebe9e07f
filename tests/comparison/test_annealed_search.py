"""Annealing on measured sets, on models made by formula: what is planted is found, and nothing is measured twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.made_scores import AXIS, make_scores, with_groups

from fasp_core.comparison.annealed_search import Reading, annealed_search, drawn_sets, measured_masks
from fasp_core.comparison.search import best_within, ppl_rise
from fasp_core.comparison.single_heads import effects_by_scores, free_heads
from fasp_core.comparison.surrogate import HeadEffects
from fasp_core.errors import Cancelled, InputError
from fasp_core.evaluation.history import MeasuredSet
from fasp_core.evaluation.keys import Target
from fasp_core.evaluation.result import Evaluation, Metrics
from fasp_core.stats.bias import axis_bias
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.paired import AxisMetrics
from fasp_core.stats.target import MEAN_TOXICITY

HEADS, SHARES = 24, pd.Series([0.5, 0.3, 0.2], ["a", "b", "c"])
FREE = [(i // 6, i % 6) for i in range(HEADS)]
MEANS = np.array([0.1, 0.2, 0.35])
READING = Reading(AXIS, "toxicity", SHARES)


def metrics(ppl, means, bias):
    groups = {name: Estimate(mean, 0.01, 100) for name, mean in zip(SHARES.index, means, strict=True)}
    value = Estimate(float(bias), 0.01, 300)
    return Metrics(Estimate(ppl, 0.1, 50), {AXIS: AxisMetrics(value, groups, value)})


def evaluation(heads, effects, cost, intact=20.0) -> Evaluation:
    flat = [FREE.index(head) for head in heads]
    moved, factor = effects[flat].sum(0), np.exp(cost[flat].sum())
    before, after = (axis_bias(means, SHARES.to_numpy()) for means in (MEANS, MEANS + moved))
    parts = (
        metrics(intact, MEANS, before),
        metrics(intact * factor, MEANS + moved, after),
        metrics(intact * (factor - 1), moved, after - before),
    )
    return Evaluation(tuple(sorted(heads)), "valid", *parts, 300, 50, 1.0)


@pytest.fixture
def truth():
    """Four heads close the gap of group c by 0.05 each; four others would, at 10 % of perplexity each."""
    effects, cost = np.zeros((HEADS, 3)), np.full(HEADS, 0.004)
    effects[[2, 7, 11, 17, 3, 8, 12, 18], 2], cost[[3, 8, 12, 18]] = -0.05, 0.1
    return effects, cost


def measure_by(truth, log):
    def measure(heads, compensate):
        log.append(heads)
        yield evaluation(heads, *truth)

    return measure


def searched(truth, log, **options):
    options = {"known": (), "limit": 0.05, "most": 60, **options}
    return annealed_search(FREE, HEADS, measure_by(truth, log), READING, **options)


def test_planted_heads_are_found_within_the_budget_and_the_surrogate_says_that_it_knows(truth):
    log = []
    found = searched(truth, log)
    assert len(log) == len({*log}) == 60
    assert log[:30] == drawn_sets(FREE, HEADS, 30)
    sets = [MeasuredSet(Target("s", e.pruned, (AXIS,), "valid", e.compensate), "p", e, 0.0) for e in found.results]
    best = best_within(sets, AXIS, 0.05)
    assert {FREE[i] for i in (2, 7, 11, 17)} <= {*best.target.heads}
    assert ppl_rise(best.evaluation) <= 0.05
    assert found.explained.bias.low > 0
    assert found.explained.log_ppl.low > 0


def test_gaps_are_read_so_that_they_sum_to_the_bias(truth):
    made = evaluation(FREE[:9], *truth)
    for part in (made.before, made.after):
        assert np.abs(READING.gaps(part)).sum() == pytest.approx(part.bias[AXIS].value)
    np.testing.assert_allclose(READING.gaps(made.change), READING.gaps(made.after) - READING.gaps(made.before))
    level = Metrics(made.before.ppl, {MEAN_TOXICITY: made.before.axes[AXIS]})
    assert Reading(MEAN_TOXICITY, "toxicity", SHARES).gaps(level) == [made.before.bias[AXIS].value]


def test_what_a_set_did_stands_in_its_row(truth):
    effects, cost = truth
    data = measured_masks([evaluation([(0, 2), (1, 1)], effects, cost)], FREE, READING)
    assert np.flatnonzero(data.masks[0]).tolist() == [2, 7]
    np.testing.assert_allclose(data.gap_changes[0], [-0.02, -0.02, 0.08])  # μ falls by 0.2 × 0.1
    assert data.log_rises[0] == pytest.approx(cost[[2, 7]].sum())


def test_sets_known_before_teach_it_and_those_on_other_texts_do_not(truth):
    known = [evaluation(heads, *truth) for heads in drawn_sets(FREE, HEADS, 40, seed=9)]
    other = evaluation(FREE[:5], *truth, intact=21.0)
    log = []
    found = searched(truth, log, most=4, known=[*known, other])
    assert len(log) == 4
    assert found.explained.bias.n == len({*log} | {one.pruned for one in known})
    assert not {*log[2:]} & {one.pruned for one in known}


def test_a_search_that_was_stopped_begins_with_the_same_draws(truth):
    with pytest.raises(Cancelled, match="run it again"):
        searched(truth, first := [], most=8, stop=lambda: len(first) > 3)
    searched(truth, again := [], most=8)
    assert again[:4] == first


def test_every_set_is_measured_in_every_way_and_the_last_teaches(truth):
    log = []

    def measure(heads, compensate):
        log.append(compensate)
        yield evaluation(heads, *truth)

    options = {"known": (), "limit": 0.05, "most": 4, "ways": ("none", "least_squares")}
    found = annealed_search(FREE, HEADS, measure, READING, **options)
    assert log == ["none", "least_squares"] * 4
    assert found.explained.bias.n == 4


def test_few_heads_are_all_measured_and_too_few_sets_are_refused(truth):
    log = []
    annealed_search(FREE[:2], HEADS, measure_by(truth, log), READING, known=(), limit=9, most=20)
    assert sorted(log) == [((0, 0),), ((0, 0), (0, 1)), ((0, 1),)]
    with pytest.raises(InputError, match="at least 4 sets"):
        searched(truth, [], most=3)


def test_where_every_head_is_protected_one_line_says_so(truth):
    with pytest.raises(InputError, match="every head is protected"):
        annealed_search([], HEADS, measure_by(truth, []), READING, known=(), limit=9, most=4)


def test_scores_of_single_heads_are_where_it_begins():
    """Perplexity of head 3 is needed most, so γ = 1/4 protects it; the effects are known without error."""
    effects = [[0.1, -0.1], [0.0, 0.0], [-0.2, 0.2], [0.3, -0.3]]
    scores = make_scores([1.0, -1.0, 2.0, 5.0], [0.2, 0, 0.1, 0.1], 2, meta={"base_ppl": 20.0}, se=0.0)
    scores = with_groups(scores, [0.2, -0.2], effects)
    free = free_heads(scores, 0.25)
    assert free.tolist() == [0, 1, 2]
    known = effects_by_scores(scores, AXIS, free, ["group 1", "group 0"])
    np.testing.assert_allclose(known.effects, np.array(effects)[:3, ::-1], atol=1e-9)
    np.testing.assert_allclose(known.cost, 1.5 * np.log([1.05, 1, 1.1]))
    whole = effects_by_scores(make_scores([1.0, -1.0], [0.2, 0.1], se=0.0, meta={"base_ppl": 20.0}), AXIS, free[:2], [])
    np.testing.assert_allclose(whole.effects, [[-0.2], [-0.1]])
    with pytest.raises(InputError, match="no perplexity of the intact model"):
        effects_by_scores(make_scores([1.0, -1.0], [0.2, 0.1]), AXIS, free[:2], [])


def test_with_scores_only_the_first_set_is_drawn(truth):
    effects, cost = truth
    gaps = (effects * SHARES.to_numpy()).sum(1, keepdims=True) - effects
    log = []
    searched(truth, log, most=4, start=HeadEffects(gaps, cost))
    assert log[0] == drawn_sets(FREE, HEADS, 1)[0]
    assert {FREE[i] for i in (2, 7, 11, 17)} <= {*log[1]}
