"""The tokens of an evaluation's texts, marked by a job: the command that marks them, and how far the job is."""

from __future__ import annotations

from fasp_core.evaluation.keys import Target
from fasp_core.head import heads_text
from fasp_core.jobs.jobs import Job, find_job, start_job
from fasp_core.words.spoken import some_heads


def marking_key(target: Target, axis: str) -> str:
    """The key of the job that marks the texts of one axis."""
    return f"mark {target.study} {target.name} {target.split} {axis}"


def start_marking(target: Target, axis: str) -> Job:
    """Mark the texts of an axis as a job; log-ratios go to the store, where `history.marked_texts` finds them.

    Raises InputError where no job can be started, and in viewer mode.
    """
    command = [
        "mark",
        f"--heads={heads_text(target.heads, ',')}",
        f"--axis={axis}",
        f"--split={target.split}",
        *([] if target.compensate == "none" else [f"--compensate={target.compensate}"]),
        "--",
        target.study,
    ]
    title = f"Mark the tokens that change without {some_heads(len(target.heads))}: {target.study}"
    return start_job(command, key=marking_key(target, axis), title=title)


def marking_job(target: Target, axis: str) -> Job | None:
    """The newest job that marks these texts, or None."""
    return find_job(marking_key(target, axis))
