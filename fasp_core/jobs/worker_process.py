"""The evaluation worker's process: `python -m fasp_core.jobs.worker_process ROOT PARENT_PID`, started by `client`.

The lock of the folder is taken, and the process that asks is watched, before torch is imported: no second worker is
started meanwhile, and when the one who asks is killed, the worker ends too, whether it is still importing, opens a
model or is in the middle of a block. What it had measured is kept, as when it is killed itself.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from threading import Thread

import psutil
from filelock import FileLock, Timeout

from fasp_core.jobs.client import worker_lock

LOOK_EVERY_S = 0.5
GRACE_S = 3.0  # in which the worker ends by itself: it looks too, at every token


def main(root: Path, parent: int) -> None:
    """Serve until the parent process ends or nobody asks any more; not at all where another worker does."""
    try:
        asking = psutil.Process(parent)
    except psutil.NoSuchProcess:
        return
    end_with(asking)
    try:
        with FileLock(worker_lock(root), timeout=0):
            from fasp_core.jobs.worker import serve

            serve(root, partial(lives, asking))
    except Timeout:
        return  # another worker was faster


def end_with(process: psutil.Process) -> None:
    """From now on this process ends soon after the other one did, whatever it is doing."""
    Thread(target=_watch, args=(process,), daemon=True).start()


def lives(process: psutil.Process) -> bool:
    """Whether a process still runs. Not `os.getppid`: in a virtual environment on Windows a launcher lies between."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _watch(process: psutil.Process) -> None:
    while lives(process):
        time.sleep(LOOK_EVERY_S)
    time.sleep(GRACE_S)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
