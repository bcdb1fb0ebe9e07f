"""What jobs and workers did: a JSON object a line in `.log/runs.jsonl` beside the studies.

Each line has the time, the run (a job's id, or that of a worker), the process and the event. Texts, prompts and what
people typed are never written: facts are numbers, names of commands and kinds of errors, and nothing longer.
"""

from __future__ import annotations

import json
import os
import re
import traceback
from datetime import UTC, datetime
from pathlib import Path

FILE = Path(".log") / "runs.jsonl"
MOST_BYTES = 5 * 2**20  # then the file is put aside as runs.1.jsonl, in place of the one before
FACT = re.compile(r"[A-Za-z0-9_.:<>/-]{0,80}")


def log_event(root: Path, run: str, event: str, **facts: str | int | float) -> None:
    """Add one line; a disk that does not take it stops nothing. Raises ValueError for a fact that may be a text."""
    for name, value in facts.items():
        if isinstance(value, str) and not FACT.fullmatch(value):
            raise ValueError(f"{name} may be a text, and texts are not logged")
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "run": run,
        "pid": os.getpid(),
        "event": event,
    }
    path = root / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            path.replace(path.with_name("runs.1.jsonl"))
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line | facts) + "\n")  # one write of one line: processes do not mix theirs
    except OSError:
        return


def place_of(error: BaseException) -> str:
    """The file and line that an error came from, without its message, which may hold a text."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
