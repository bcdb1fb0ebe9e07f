"""A scorecard measured by a job: the command that measures it, and how far the job is."""

from __future__ import annotations

from fasp_core.evaluation.keys import Target
from fasp_core.evaluation.streams import axis_of, metric_of
from fasp_core.head import heads_text
from fasp_core.jobs.jobs import Job, find_job, start_job
from fasp_core.words.spoken import some_heads


def scorecard_key(target: Target) -> str:
    """The key of a target's job."""
    return f"scorecard {target.study} {target.name} {target.split}"


def start_scorecard(target: Target) -> Job:
    """Measure a target's scorecard as a job; what it reads goes to the store, where `kept_scorecard` finds it. All of
    its streams are by one metric.

    Raises InputError where no job can be started, and in viewer mode.
    """
    command = [
        "evaluate",
        f"--heads={heads_text(target.heads, ',')}",
        f"--axes={','.join(map(axis_of, target.streams))}",
        f"--metric={metric_of(target.streams[0])}",
        f"--split={target.split}",
        "--scorecard",
        *([] if target.compensate == "none" else [f"--compensate={target.compensate}"]),
        "--",
        target.study,
    ]
    title = f"Scorecard of {some_heads(len(target.heads))} on {target.split}: {target.study}"
    return start_job(command, key=scorecard_key(target), title=title)


def scorecard_job(target: Target) -> Job | None:
    """The newest job of a target's scorecard, or None."""
    return find_job(scorecard_key(target))
