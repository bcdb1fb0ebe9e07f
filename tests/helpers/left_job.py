"""A job's folder as a run leaves it, without running one."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import psutil

from fasp_core.jobs.processes import boot, identity

COMMAND = ("score", "--axes=religion", "--name=s", "--budget=quick", "--", "default")


def leave_job(
    root: Path,
    number: int = 0,
    *,
    key: str = "score s",
    command=COMMAND,
    status: int | None = None,
    alive: bool = False,
) -> Path:
    """The folder of job `number`; `alive`: this very process runs it; `status`: it ended so; neither: it is lost."""
    folder = root / ".jobs" / f"20260101-000000-{number:08x}"
    folder.mkdir(parents=True)
    record = {"key": key, "title": key.title(), "command": list(command), "created": 1.7e9 + number}
    record |= {"boot": boot(), "begun": time.monotonic() - 1e6}
    (folder / "job.json").write_text(json.dumps(record))
    (folder / "log.txt").write_text("error: what went wrong\n")
    (folder / "progress.json").write_text("[]")
    if alive:
        me = {"pid": os.getpid(), "identity": identity(psutil.Process())}
        (folder / "process.json").write_text(json.dumps(me))
    if status is not None:
        (folder / "end.json").write_text(json.dumps({"status": status}))
    return folder
