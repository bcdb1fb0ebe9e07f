"""One job at a time measures on a device; the others wait for their turn, in the order in which they were started.

Two at once would each take more than twice as long, and need the memory of two models. A job that waits has the file
`waiting` in its folder. The one that measures holds the device's lock, which a killed process gives back by itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from fasp_core.jobs.jobs import Job, list_jobs
from fasp_core.jobs.records import DAMAGED, read_job
from fasp_core.jobs.report import WAITING

MEASURING = ("score", "compare", "search", "rescore")  # commands that compute for long
LOOK_EVERY_S = 1.0
_held: list[FileLock] = []  # until this process ends


def wait_for_turn(folder: Path) -> None:
    """Return once the job of this folder, which this process runs, may use its device; at once where it needs none."""
    record = read_job(folder)
    device = None if record is None or record is DAMAGED else device_of(record.command)
    if device is None:
        return
    lock, waiting = FileLock(folder.parent / f".device-{device}.lock"), folder / WAITING
    while _is_behind(folder, device) or not _taken(lock):
        if not waiting.exists():
            waiting.touch()
        time.sleep(LOOK_EVERY_S)
    waiting.unlink(missing_ok=True)


def place_in_queue(job: Job, jobs: Iterable[Job]) -> int:
    """The place of a waiting job among those that wait for the same device, 1 for the next one."""
    device = device_of(job.command)
    waiting = [other for other in jobs if other.state == "queued" and device_of(other.command) == device]
    return 1 + sum(_order(other) < _order(job) for other in waiting)


def device_of(command: Sequence[str]) -> str | None:
    """The device that a command measures on, as it names it; None for a command that needs none."""
    if not command or command[0] not in MEASURING:
        return None
    options = command[: command.index("--")] if "--" in command else command
    for option, value in zip(options, [*options[1:], ""], strict=True):
        if option == "--device" or option.startswith("--device="):
            given = value if option == "--device" else option.removeprefix("--device=")
            return re.sub(r"[^A-Za-z0-9]", "-", given)[:40]
    return "auto"


def _is_behind(folder: Path, device: str) -> bool:
    """Whether a job that was started earlier waits too."""
    jobs = list_jobs(folder.parent.parent)
    me = next((job for job in jobs if job.id == folder.name), None)
    return me is not None and any(
        job.state == "queued" and device_of(job.command) == device and _order(job) < _order(me) for job in jobs
    )


def _taken(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    _held.append(lock)
    return True


def _order(job: Job) -> tuple[float, str]:
    return job.created, job.id
