"""Evidence for a head, measured by a job: where the result is kept, and how far the job is."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from fasp_core.head import Head, head_text
from fasp_core.jobs.jobs import Job, find_job, start_job
from fasp_core.jobs.result_files import make_room, read_result, result_file
from fasp_core.words.text_evidence import TextEvidence

FOLDER = ".evidence"
_TEXTS = TypeAdapter(list[TextEvidence])


def evidence_file(study: str, model: str | None, axis: str, head: Head) -> Path:
    """Where the evidence for a head of a study is kept."""
    return result_file(FOLDER, study, model, axis, head_text(head))


def start_evidence(path: Path, study: str, axis: str, head: Head) -> Job:
    """Measure it as a job that writes `path`; raises InputError where no job can be started, and in viewer mode."""
    make_room(path)
    command = ["evidence", f"--axis={axis}", f"--head={head_text(head)}", f"--to={path}", "--", study]
    return start_job(command, key=f"evidence {path.stem}", title=f"Evidence for head {head_text(head)} of {study}")


def evidence_job(path: Path) -> Job | None:
    """The newest job of a result, or None."""
    return find_job(f"evidence {path.stem}")


def read_evidence(path: Path) -> list[TextEvidence] | None:
    """The texts with their tokens, log-ratios and attention, or None while there are none that can be read."""
    return read_result(path, "texts", _TEXTS)
