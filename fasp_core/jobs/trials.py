"""Prompts of one's own, continued by a job: where the result is kept, and how far the job is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from fasp_core.evaluation.keys import pruned_name
from fasp_core.head import Head, heads_text
from fasp_core.jobs.jobs import Job, find_job, start_job
from fasp_core.jobs.result_files import make_room, read_result, result_file
from fasp_core.models.compensation_choice import Compensate
from fasp_core.words.text_pairs import RatedPair

FOLDER = ".trials"
_PAIRS = TypeAdapter(list[RatedPair])


def trial_file(
    study: str, model: str | None, heads: Sequence[Head], prompt: str, compensate: Compensate = "none"
) -> Path:
    """Where the continuations of a prompt are kept: the same model, pruned model and prompt have the same file."""
    return result_file(FOLDER, study, model, pruned_name(heads, compensate), prompt)


def start_trial(path: Path, study: str, heads: Sequence[Head], prompt: str, compensate: Compensate = "none") -> Job:
    """Continue the prompt as a job that writes `path`."""
    make_room(path)
    command = [
        "try",
        f"--heads={heads_text(heads, ',')}",
        f"--prompt={prompt}",
        f"--to={path}",
        *([] if compensate == "none" else [f"--compensate={compensate}"]),
        "--",
        study,
    ]
    return start_job(command, key=f"try {path.stem}", title="Continue a prompt of one's own")


def trial_job(path: Path) -> Job | None:
    """The newest job of a result, or None."""
    return find_job(f"try {path.stem}")


def read_trials(path: Path) -> list[RatedPair] | None:
    """The continuations, or None while there are none that can be read."""
    return read_result(path, "trials", _PAIRS)
