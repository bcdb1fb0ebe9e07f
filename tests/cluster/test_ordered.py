"""An ordered map: results in the order of their tasks, whichever worker is faster, and a bounded number under way."""

from __future__ import annotations

from functools import partial

import pytest
from helpers.fake_cluster import FakeWorkers
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.cluster.ordered import AHEAD, in_process, ordered_map
from fasp_core.errors import Cancelled, InputError

counts, workers, seeds = st.integers(0, 30), st.integers(1, 5), st.integers(0, 1000)


def go_on():
    return None


def times(n, context):
    return n * context


def consume(results, got):
    for result in results:
        got.append(result)


def fail_at(bad, n, context):
    if n in bad:
        raise InputError(f"task {n}")
    return n


@given(counts, workers, seeds)
def test_results_come_in_the_order_of_their_tasks(n, n_workers, seed):
    fake = FakeWorkers(n_workers, 10, seed)
    tasks = (partial(times, i) for i in range(n))
    assert list(ordered_map(fake, tasks, go_on)) == [10 * i for i in range(n)]
    assert len(fake.begun) == n


@given(workers, seeds)
def test_all_workers_are_at_work_and_few_tasks_are_taken_ahead(n_workers, seed):
    """A task's data is in memory from when it is taken until its result is handed on."""
    taken, fake = [], FakeWorkers(n_workers, 1, seed)

    def tasks():
        for i in range(40):
            taken.append(i)
            yield partial(times, i)

    assert taken == []
    for given_on, _ in enumerate(ordered_map(fake, tasks(), go_on)):
        assert len(taken) <= given_on + AHEAD * n_workers
    assert set(fake.begun[:n_workers]) == set(range(n_workers))


@given(counts, workers, seeds, st.sets(st.integers(0, 29)))
def test_the_first_error_is_raised_in_its_place(n, n_workers, seed, bad):
    fake, got = FakeWorkers(n_workers, 1, seed), []
    first = min((i for i in bad if i < n), default=None)
    results = ordered_map(fake, (partial(fail_at, frozenset(bad), i) for i in range(n)), go_on)
    if first is None:
        assert list(results) == list(range(n))
        return
    with pytest.raises(InputError, match=f"^task {first}$"):
        consume(results, got)
    assert got == list(range(first))


def test_an_error_in_the_making_of_a_task_is_raised():
    def tasks():
        yield partial(times, 1)
        raise InputError("cannot be read")

    with pytest.raises(InputError, match="cannot be read"):
        list(ordered_map(FakeWorkers(2, 1), tasks(), go_on))


@pytest.mark.parametrize("parallel", [False, True])
def test_it_stops_before_the_next_task(parallel):
    made, got = [], []

    def check():
        if len(got) == 2:
            raise Cancelled("stopped")

    def tasks():
        for i in range(50):
            made.append(i)
            yield partial(times, i)

    mapped = ordered_map(FakeWorkers(2, 1), tasks(), check) if parallel else in_process(1, tasks(), check)
    with pytest.raises(Cancelled, match="stopped"):
        consume(mapped, got)
    assert got == [0, 1]
    assert len(made) <= (2 + AHEAD * 2 if parallel else 3)


def test_in_this_process_one_task_at_a_time():
    assert list(in_process(3, (partial(times, i) for i in range(4)), go_on)) == [0, 3, 6, 9]
