"""How long until the jobs at work have ended, as far as they tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fasp_core.jobs.jobs import Job

IN_STAGES = ("score", "compare", "rescore")  # commands of several stages: the time they tell is that of one


@dataclass(frozen=True)
class TimeLeft:
    """Seconds until the jobs at work have ended, None while unknown; `at_least` where more is to come."""

    seconds: float | None
    at_least: bool


def time_left(jobs: Iterable[Job]) -> TimeLeft:
    """The time left of the live jobs among these.

    Those that run do so side by side, so the one that takes longest counts. What is not known is not in the sum, which
    is then a lower bound: jobs that wait, those that tell no time yet, and later stages of a run.
    """
    live = [job for job in jobs if job.live]
    told = [job.progress.eta_s for job in live if job.state == "running" and job.progress is not None]
    known = [seconds for seconds in told if seconds is not None]
    open_ended = any(job.command[:1] and job.command[0] in IN_STAGES for job in live)
    return TimeLeft(max(known, default=None), len(known) < len(live) or open_ended)
