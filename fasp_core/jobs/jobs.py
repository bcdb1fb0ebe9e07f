"""Jobs: long commands, each a process of its own that goes on when the page, browser or server is closed.

    job = start_job(["score", "default", "--axes", "religion"], key="score default", title="Score default")
    list_jobs(); cancel_job(job.id); remove_job(job.id)

A job is `python -m fasp_core COMMAND` in its own session. It reports into a folder, `.jobs/ID` below the folder of
studies (see `report`), so any process can tell how it stands, also after a restart of the server: a job whose process
is gone without an end is `lost`. While a job of some `key` runs, starting it again gives that job. Jobs that measure
wait for each other, see `turns`. A run continues where the one before ended, so a job is resumed by starting it again.
No torch here.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

import psutil
from filelock import FileLock

from fasp_core.access import refuse_viewers
from fasp_core.errors import DONE, STOPPED, InputError
from fasp_core.files.paths import cache_root, child_environment
from fasp_core.files.run_log import SERVER, log_event
from fasp_core.files.writing import write_atomic, write_errors
from fasp_core.jobs.processes import boot, identity
from fasp_core.jobs.records import DAMAGED, RECORD, JobRecord, read_end, read_job, read_process, read_progress
from fasp_core.jobs.report import CANCELLED, JOB, WAITING, study_of
from fasp_core.progress import Progress

FOLDER, LOG = ".jobs", "log.txt"
ID_PATTERN = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")
BEGIN_WITHIN_S = 60.0  # from a job's start to its first sign; importing Python's libraries takes seconds
GRACE_S = 20.0  # from asking it to stop to SIGKILL; a run stops within one batch
LOG_TAIL_BYTES = 8000
_children: dict[str, subprocess.Popen[bytes]] = {}  # jobs that this process started: it has to collect their exit

JobState = Literal["queued", "running", "done", "failed", "cancelled", "lost", "damaged"]
LIVE = ("queued", "running")
ENDS: dict[int, JobState] = {DONE: "done", STOPPED: "cancelled"}  # by exit status; any other is a failure


@dataclass(frozen=True)
class Job:
    """A job as it stands. `stages` are the newest events of each stage, in order; `message` is its last line.

    One that is `damaged` has files that no job wrote: what was asked for, or how it ended, is not known.
    """

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
    def live(self) -> bool:
        """Whether it runs, or waits for its turn."""
        return self.state in LIVE

    @property
    def progress(self) -> Progress | None:
        """The newest event of the stage at work, None before the first."""
        return self.stages[-1] if self.stages else None

    def log(self) -> str:
        """The end of what the job printed."""
        return _tail(self.folder / LOG)


def start_job(command: Sequence[str], *, key: str, title: str, root: str | os.PathLike[str] | None = None) -> Job:
    """Run `python -m fasp_core COMMAND` as a job; a running job of the same `key` is returned instead.

    Raises InputError where the disk does not allow it, and in viewer mode.
    """
    jobs = Path(cache_root(root)) / FOLDER
    try:
        refuse_viewers("starting a job")
    except InputError:
        log_event(jobs.parent, SERVER, "job refused", level="warning", command=command[0])
        raise
    with write_errors(jobs):
        jobs.mkdir(parents=True, exist_ok=True)
        with FileLock(jobs / ".lock"):
            for job in list_jobs(root):
                if job.key == key and job.live:
                    return job
            folder = jobs / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid4().hex[:8]}"
            folder.mkdir()
            record = JobRecord(
                key=key,
                title=title,
                command=list(command),
                created=time.time(),
                boot=boot(),
                begun=time.monotonic(),
            )
            write_atomic(folder / RECORD, lambda path: path.write_text(record.model_dump_json(), "utf-8"))
            with open(folder / LOG, "wb") as log:
                _children[folder.name] = subprocess.Popen(
                    [sys.executable, "-m", "fasp_core", *command],
                    start_new_session=True,
                    env={**child_environment(), "FASP_CACHE": str(jobs.parent), JOB: str(folder)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            log_event(jobs.parent, folder.name, "job asked", command=command[0], study=study_of(command))
            started = _read(folder)
            if started is None:
                raise InputError(f"{folder} was removed while its job was started; start it again")
            return started


def list_jobs(root: str | os.PathLike[str] | None = None) -> list[Job]:
    """All jobs of a cache folder, the newest first."""
    jobs = Path(cache_root(root)) / FOLDER
    folders = sorted((p for p in jobs.glob("*") if ID_PATTERN.fullmatch(p.name) and p.is_dir()), reverse=True)
    return [job for job in map(_read, folders) if job is not None]


def find_job(key: str, root: str | os.PathLike[str] | None = None) -> Job | None:
    """The newest job with this key, or None."""
    return next((job for job in list_jobs(root) if job.key == key), None)


def cancel_job(job_id: str, root: str | os.PathLike[str] | None = None) -> None:
    """Ask a job to stop: it keeps what it has finished. One that does not answer in time is killed.

    Returns at once. Raises InputError if there is no such job; one that has ended stays as it is.
    """
    folder = _folder(job_id, root)
    job, process = _read(folder), process_of(folder)
    if job is None or not job.live:
        return
    write_atomic(folder / CANCELLED, lambda path: path.write_text("", "utf-8"))
    if process is None:
        return  # it has not begun, and looks for the file before it does
    _ask_to_stop(process)
    threading.Thread(target=_kill_after, args=(process, job_id), daemon=True).start()


def remove_job(job_id: str, root: str | os.PathLike[str] | None = None) -> None:
    """Forget a job that has ended, with its log; what it measured stays. Raises InputError while it runs."""
    folder = _folder(job_id, root)
    job = _read(folder)
    if job is not None and job.live:
        raise InputError("the job is still running; stop it first")
    with write_errors(folder):
        shutil.rmtree(folder)


def _folder(job_id: str, root: str | os.PathLike[str] | None) -> Path:
    folder = Path(cache_root(root)) / FOLDER / job_id
    if not ID_PATTERN.fullmatch(job_id) or not (folder / RECORD).is_file():
        raise InputError(f"there is no job '{job_id[:40]}'; it may have been removed meanwhile")
    return folder


def _read(folder: Path) -> Job | None:
    """The job in a folder; None where it was removed meanwhile, or never begun."""
    record = read_job(folder)
    if record is None:
        return None
    if record is DAMAGED:
        record = JobRecord(key="", title=f"Job {folder.name}", command=[], created=0.0)
        state = _state(folder, record)
        state = state if state in LIVE else "damaged"
    else:
        state = _state(folder, record)
    return Job(
        id=folder.name,
        key=record.key,
        title=record.title,
        command=tuple(record.command),
        created=record.created,
        state=state,
        folder=folder,
        stages=read_progress(folder),
        message=_message(folder, state),
    )


def _state(folder: Path, record: JobRecord) -> JobState:
    alive = process_of(folder) is not None
    end = read_end(folder)  # after the look at the process: one that ended in between has said so
    if end is DAMAGED:
        return "damaged"
    if end is not None:
        return ENDS.get(end.status, "failed")
    known = read_process(folder)
    if alive or (known is None and _may_still_begin(folder, record)):
        return "queued" if (folder / WAITING).exists() else "running"
    if known is DAMAGED:
        return "damaged"
    return "cancelled" if (folder / CANCELLED).exists() else "lost"


def _may_still_begin(folder: Path, record: JobRecord) -> bool:
    child = _children.get(folder.name)
    if child is not None:
        return child.poll() is None
    return record.boot == boot() and 0 <= time.monotonic() - record.begun < BEGIN_WITHIN_S


def process_of(folder: Path) -> psutil.Process | None:
    """The process that runs a job, None once it is gone; another process that now has its number is not it."""
    child = _children.get(folder.name)
    if child is not None and child.poll() is not None:
        return None
    made = read_process(folder)
    try:
        if made is None or made is DAMAGED:
            return psutil.Process(child.pid) if child is not None else None
        process = psutil.Process(made.pid)
        if process.status() == psutil.STATUS_ZOMBIE or identity(process) != made.identity:
            return None
        return process
    except psutil.NoSuchProcess:
        return None


def _message(folder: Path, state: JobState) -> str:
    if state == "lost":
        return "its process was killed, or the machine was restarted; finished work is kept"
    if state == "damaged":
        return "its files are damaged, so how it stands is not known; finished work is kept, remove the job"
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
    _kill(process)


def _ask_to_stop(process: psutil.Process) -> None:
    """SIGTERM, which the run takes for Ctrl-C. Windows has no such signal: the run ends at once there."""
    with suppress(psutil.NoSuchProcess):
        process.terminate()


def _kill(process: psutil.Process) -> None:
    """Kill the run and its whole session, for which its number stands; on Windows, the run."""
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _tail(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
