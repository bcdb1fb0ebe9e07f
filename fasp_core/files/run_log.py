"""What the app, jobs and workers did: a JSON object a line in `.log/runs.jsonl` beside the studies.

Each line has the time, the level, the run (a job's id, or that of a process), the process and the event. Texts and
prompts are never written: facts are numbers, names of studies and commands and kinds of errors, and nothing longer.
With FASP_LOG=json the app's server prints its own lines, too; what it starts has the file alone.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fasp_core.access import LOG

SERVER = "server"  # the run of what belongs to no job
FILE = Path(".log") / "runs.jsonl"
MOST_BYTES = 5 * 2**20  # then the file is put aside as runs.1.jsonl, in place of the one before
Level = Literal["info", "warning", "error"]
FACT = re.compile(r"[A-Za-z0-9_.:<>/-]{0,80}")


def log_event(root: Path, run: str, event: str, *, level: Level = "info", **facts: str | int | float) -> None:
    """Add one line; a disk that does not take it stops nothing. Raises ValueError for a fact that may be a text."""
    for name, value in facts.items():
        if isinstance(value, str) and not FACT.fullmatch(value):
            raise ValueError(f"{name} may be a text, and texts are not logged")
    fields = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "run": run,
        "pid": os.getpid(),
        "event": event,
    }
    line = json.dumps(fields | facts) + "\n"
    if os.environ.get(LOG) == "json":
        sys.stderr.write(line)
    path = root / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            path.replace(path.with_name("runs.1.jsonl"))
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)  # one write of one line: processes do not mix theirs
    except OSError:
        return


def place_of(error: BaseException) -> str:
    """The file and line that an error came from, without its message, which may hold a text."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
