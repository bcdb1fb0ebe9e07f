"""Only sets measured to the end on the same texts are compared."""

from __future__ import annotations

from dataclasses import replace

from helpers.made_study import made_evaluation

from fasp_core.evaluation.comparable import comparable_sets
from fasp_core.evaluation.history import MeasuredSet
from fasp_core.evaluation.keys import Target
from fasp_core.stats.estimate import Estimate

AXIS, GROUPS = "gender_and_sex", ["female", "male"]
STREAMS = {"text": "t", AXIS: "a"}


def measured(head: int, fraction: float = 1.0, streams: dict[str, str] = STREAMS, n: int = 500) -> MeasuredSet:
    made = made_evaluation(((0, head),), AXIS, GROUPS, fraction)
    axes = {AXIS: replace(made.after.axes[AXIS], bias=Estimate(0.14, 0.02, n))}
    made = replace(made, after=replace(made.after, axes=axes))
    return MeasuredSet(Target("s", ((0, head),), (AXIS,)), "plan", made, float(head), streams=streams)


def test_a_set_cut_short_is_not_compared():
    whole, part = measured(0), measured(1, 0.08)
    found = comparable_sets([part, whole], AXIS)
    assert (found.sets, found.others) == ((whole,), (part,))
    assert found.intact == whole.evaluation.before


def test_sets_of_other_texts_are_not_compared_though_they_are_complete():
    shared = [measured(0), measured(1)]
    other_seed = measured(2, streams={**STREAMS, AXIS: "b"})
    fewer = measured(3, n=180)
    found = comparable_sets([fewer, shared[0], other_seed, shared[1]], AXIS)
    assert found.sets == tuple(shared)
    assert found.others == (fewer, other_seed)


def test_without_a_complete_set_there_is_nothing_to_compare_with():
    found = comparable_sets([measured(0, 0.5)], AXIS)
    assert found.sets == ()
    assert found.intact is None
    assert comparable_sets([measured(0)], "religion").others == ()
