"""Jobs: long commands, each a process of its own that no page, browser or server has to outlive.

    job = start_job(["score", "default", "--axes", "religion"], key="score default", title="Score default")
    list_jobs(); cancel_job(job.id); remove_job(job.id)

A job is `python -m fasp_core COMMAND` in its own session. It reports into a folder, `.jobs/ID` below the folder of
studies (see `job_report`), so any process can tell how it stands, also after a restart of the server: a job whose
process is gone without an end is `lost`. While a job of some `key` lives, starting it again gives that job. Runs go
on where they were, so to resume a job is to start it again. No torch here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import psutil
from filelock import FileLock

from .errors import InputError
from .files import write_atomic, write_errors
from .job_report import CANCELLED, END, JOB, PROCESS, PROGRESS
from .paths import PROJECT, cache_root
from .progress import Progress
from .terminal import DONE, STOPPED

FOLDER, RECORD, LOG = ".jobs", "job.json", "log.txt"
ID_PATTERN = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")
BEGIN_WITHIN_S = 60.0  # from a job's start to its first sign; importing Python's libraries takes seconds
GRACE_S = 20.0  # from the wish to stop to SIGKILL; a run stops within one batch
CLOCK_MAY_STEP_S = 5.0  # a process's start is known by the machine's clock, which may have been set since
LOG_TAIL_BYTES = 8000
_children: dict[str, subprocess.Popen] = {}  # jobs that this process started: their exit has to be collected

JobState = Literal["running", "done", "failed", "cancelled", "lost"]


@dataclass(frozen=True)
class Job:
    """A job as it stands. `stages` are the newest events of each stage, in order; `message` is its last line."""

    id: str
    key: str
    title: str
    command: tuple[str, ...]
    created: float
    state: JobState
    stages: tuple[Progress, ...]
    message: str
    folder: Path

    @property
    def progress(self) -> Progress | None:
        """The newest event of the stage at work, None before the first."""
        return self.stages[-1] if self.stages else None

    def log(self) -> str:
        """The end of what the job printed."""
        return _tail(self.folder / LOG)


def start_job(command: Sequence[str], *, key: str, title: str, root: str | os.PathLike | None = None) -> Job:
    """Run `python -m fasp_core COMMAND` as a job; a live job of the same `key` is returned instead.

    Raises InputError where the disk does not allow it.
    """
    jobs = Path(cache_root(root)) / FOLDER
    with write_errors(jobs):
        jobs.mkdir(parents=True, exist_ok=True)
        with FileLock(jobs / ".lock"):
            for job in list_jobs(root):
                if job.key == key and job.state == "running":
                    return job
            folder = jobs / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid4().hex[:8]}"
            folder.mkdir()
            record = {"key": key, "title": title, "command": list(command), "created": time.time()}
            write_atomic(folder / RECORD, lambda path: path.write_text(json.dumps(record), "utf-8"))
            with open(folder / LOG, "wb") as log:
                _children[folder.name] = subprocess.Popen(
                    [sys.executable, "-m", "fasp_core", *command], cwd=PROJECT, start_new_session=True,
                    env={**os.environ, "FASP_CACHE": str(jobs.parent), JOB: str(folder)},
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip
            return _read(folder)


def list_jobs(root: str | os.PathLike | None = None) -> list[Job]:
    """All jobs of a cache folder, the newest first."""
    jobs = Path(cache_root(root)) / FOLDER
    folders = sorted((p for p in jobs.glob("*") if ID_PATTERN.fullmatch(p.name)), reverse=True)
    return [job for job in map(_read, folders) if job is not None]


def cancel_job(job_id: str, root: str | os.PathLike | None = None) -> None:
    """Ask a job to stop: it keeps what it has finished. One that does not answer in time is killed.

    Returns at once. Raises InputError if there is no such job; one that has ended stays as it is.
    """
    folder = _folder(job_id, root)
    job, process = _read(folder), _process(folder)
    if job is None or job.state != "running":
        return
    write_atomic(folder / CANCELLED, lambda path: path.write_text("", "utf-8"))
    if process is None:
        return  # it has not begun, and looks before it does
    _signal(process, signal.SIGTERM)
    threading.Thread(target=_kill_after, args=(process, job_id), daemon=True).start()


def remove_job(job_id: str, root: str | os.PathLike | None = None) -> None:
    """Forget a job that has ended, with its log; what it measured stays. Raises InputError while it runs."""
    folder = _folder(job_id, root)
    job = _read(folder)
    if job is not None and job.state == "running":
        raise InputError("the job is still running; stop it first")
    shutil.rmtree(folder)


def _folder(job_id: str, root: str | os.PathLike | None) -> Path:
    folder = Path(cache_root(root)) / FOLDER / job_id
    if not ID_PATTERN.fullmatch(job_id) or not (folder / RECORD).is_file():
        raise InputError(f"there is no job '{job_id[:40]}'; it may have been removed meanwhile")
    return folder


def _read(folder: Path) -> Job | None:
    """The job in a folder; None where it was removed meanwhile, or never begun."""
    record = _json(folder / RECORD)
    if record is None:
        return None
    state = _state(folder, record["created"])
    return Job(
        id=folder.name, key=record["key"], title=record["title"], command=tuple(record["command"]),
        created=record["created"], state=state, folder=folder,
        stages=tuple(Progress(**event) for event in _json(folder / PROGRESS) or ()),
        message=_message(folder, state),
    )  # fmt: skip


def _state(folder: Path, created: float) -> JobState:
    alive = _process(folder) is not None
    end = _json(folder / END)  # after the look at the process: one that ended in between has said so
    if end is not None:
        return {DONE: "done", STOPPED: "cancelled"}.get(end["status"], "failed")
    if alive or (_json(folder / PROCESS) is None and _may_still_begin(folder, created)):
        return "running"
    return "cancelled" if (folder / CANCELLED).exists() else "lost"


def _may_still_begin(folder: Path, created: float) -> bool:
    child = _children.get(folder.name)
    return child.poll() is None if child is not None else time.time() < created + BEGIN_WITHIN_S


def _process(folder: Path) -> psutil.Process | None:
    """The process that runs a job, None once it is gone. A process number that was given anew is not it."""
    child = _children.get(folder.name)
    if child is not None and child.poll() is not None:
        return None
    made = _json(folder / PROCESS) or ({"pid": child.pid, "started": None} if child is not None else None)
    try:
        process = psutil.Process(made["pid"]) if made else None
        if process is None or process.status() == psutil.STATUS_ZOMBIE:
            return None
        same = made["started"] is None or abs(made["started"] - process.create_time()) < CLOCK_MAY_STEP_S
        return process if same else None
    except psutil.NoSuchProcess:
        return None


def _message(folder: Path, state: JobState) -> str:
    if state == "lost":
        return "its process ended without a word: killed, or the machine was restarted; finished work is kept"
    lines = _tail(folder / LOG).strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else ""


def _kill_after(process: psutil.Process, job_id: str) -> None:
    """Wait for a process that was asked to stop; kill it, and all it started, when its time is over."""
    child = _children.get(job_id)
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline:
        if (child.poll() is not None) if child is not None else not process.is_running():
            return
        time.sleep(0.1)
    _signal(process, signal.SIGKILL)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    """SIGTERM for the run itself; SIGKILL for its whole session, for which its number stands."""
    try:
        if number == signal.SIGKILL and hasattr(os, "killpg"):  # not on Windows
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _tail(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
