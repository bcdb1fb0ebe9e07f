"""The time left of several jobs: the longest of those that run, and when more than that is to come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fasp_core.jobs.jobs import Job
from fasp_core.jobs.time_left import TimeLeft, time_left
from fasp_core.progress import Progress

RUNS = Job("1", "search s", "Search", ("search", "s"), 0.0, "running", (), "", Path())


def after(job: Job, seconds: float | None) -> Job:
    return replace(job, stages=(Progress("one", 1, 1, "x", 9.0, 0.0), Progress("two", 1, 4, "x", 1.0, seconds)))


WAITS, SCORES = replace(RUNS, state="queued"), replace(RUNS, command=("score", "s"))


@pytest.mark.parametrize(
    ("jobs", "seconds", "at_least"),
    [
        ([after(RUNS, 60.0)], 60.0, False),
        ([after(RUNS, 60.0), after(RUNS, 90.0)], 90.0, False),  # side by side
        ([after(RUNS, 60.0), WAITS], 60.0, True),
        ([after(RUNS, 60.0), RUNS], 60.0, True),  # one that tells nothing yet
        ([after(RUNS, None)], None, True),
        ([after(SCORES, 60.0)], 60.0, True),  # of this stage; others follow
        ([WAITS], None, True),
        ([after(RUNS, 60.0), replace(after(RUNS, 999.0), state="done")], 60.0, False),
    ],
)
def test_the_time_left_is_that_of_the_longest_and_a_lower_bound_where_more_is_to_come(jobs, seconds, at_least):
    assert time_left(jobs) == TimeLeft(seconds, at_least)
