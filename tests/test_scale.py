"""The simulated schedule of `benchmarks.scale`, against schedules worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks.scale import Kind, kind_of, run_stages, schedule, shards, unit_seconds
from fasp_core.cluster.ordered import AHEAD
from fasp_core.scoring.budgets import BUDGETS, Budget


@pytest.mark.parametrize(
    ("stages", "workers", "write", "ends"),
    [
        ([[3, 1, 2]], 1, 0, 6),
        ([[3, 1, 2]], 2, 0, 3),  # 3 | 1 2
        ([[1, 2, 3]], 2, 0, 4),  # 1 3 | 2: in order, not the longest first
        ([[2, 2, 2]], 2, 0, 4),  # the third is alone
        ([[4, 4], [4, 4]], 2, 0, 8),
        ([[5, 1], [1, 5]], 2, 0, 10),  # a stage waits for the whole stage before
        ([[1, 1, 1, 1]], 4, 1, 5),  # written one by one, from 1 on
        ([[1, 1]], 1, 0.5, 2.5),  # the second is measured while the first is written
        ([], 3, 1, 0),
        ([[], [2]], 3, 1, 3),
    ],
)
def test_by_hand(stages, workers, write, ends):
    assert schedule(stages, workers, write=write) == ends


def test_a_slow_shard_holds_up_those_behind_it():
    """Two workers: 6 shards may be begun before the first is written, of which 5 pass on the other worker."""
    assert AHEAD == 3
    assert schedule([[10, *[1] * 7]], 2) == 11  # 5 until time 5, then the last two together at 10
    assert schedule([[10, *[1] * 8]], 2) == 12


def test_equal_shards_in_equal_shares_are_ideal():
    for workers in (1, 2, 4, 8):
        assert schedule([[1.0] * 64], workers) == 64 / workers


def test_the_stages_of_a_run():
    assert shards(129, 128) == [128, 128]
    stages = run_stages(Budget(300, 20, 2, likelihood_reads=100, likelihood_knockout=0), 1, 12)
    assert stages == [
        ("gradient text", [16, 16]),
        ("knockout text", [12, 12]),
        ("likelihood", [60, 60]),
        ("sampling", [128] * 3),
        ("rating", [128] * 3),
        ("gradient", [128] * 3),
        ("prefixes", [128] * 3),
        ("advantage", [128] * 3),
    ]
    quick, five = (run_stages(BUDGETS["quick"], axes, 270) for axes in (1, 5))
    assert len(five) - 2 == 5 * (len(quick) - 2)


def test_the_first_shard_of_a_kind_is_not_counted():
    assert kind_of([9.0, 1.0, 3.0]) == Kind(2.0, (0.5, 1.5))
    assert kind_of([4.0]) == Kind(4.0, (1.0,))


def test_only_what_a_model_does_is_scaled():
    kinds = {"sampling": Kind(2.0, (1.0,)), "rating": Kind(0.5, (1.0,))}
    assert unit_seconds([("sampling", [3, 4]), ("rating", [2])], kinds, 10.0) == [[60.0, 80.0], [1.0]]
