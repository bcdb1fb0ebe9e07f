"""benchmarks/RESULTS.md: an entry for each benchmark that `python -m benchmarks` ran, read back so that it can stay."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from fasp_core.files.paths import PROJECT
from fasp_core.study.manifest import installed_versions
from fasp_core.words.spoken import duration, spoken_bytes

RESULTS = Path(__file__).parent / "RESULTS.md"
ENTRY = re.compile(r"^## (\w+)\n\n(`python -m .*?\n```text\n.*?\n```)\n", re.M | re.S)
TOOK = re.compile(r", took (?:(\d+) h ?)?(?:(\d+) min ?)?(?:(\d+) s)?\.")


@dataclass(frozen=True)
class Run:
    """What a benchmark printed, when (UTC), and how long it took; `status` is its exit status."""

    name: str
    arguments: tuple[str, ...]
    printed: str
    when: datetime
    seconds: float
    status: int

    def entry(self, machine: str) -> str:
        """The run as it stands in the results, below its name."""
        command = " ".join(["python -m", f"benchmarks.{self.name}", *self.arguments])
        ended = f" **It ended with exit status {self.status}.**" if self.status else ""
        return (
            f"`{command}`, {self.when:%Y-%m-%d %H:%M} UTC, took {duration(self.seconds)}.{ended}\n{machine}\n\n"
            f"```text\n{self.printed.replace('```', chr(39) * 3)}\n```"
        )


def run(name: str, arguments: tuple[str, ...]) -> Run:
    """Run one benchmark in a process of its own; of one that fails the last line of its errors is kept too."""
    when, started = datetime.now(UTC), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        cwd=PROJECT,
        env={**os.environ, "COLUMNS": "140", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    lines = [*done.stdout.strip().splitlines(), *(done.stderr.strip().splitlines()[-1:] if done.returncode else ())]
    printed = "\n".join(line.rstrip() for line in lines)
    return Run(name, arguments, printed, when, time.monotonic() - started, done.returncode)


def machine() -> str:
    """What figures depend on, in one line: system, cores, memory, how busy it was, commit, Python and libraries."""
    versions = ", ".join(f"{name} {version}" for name, version in installed_versions().items())
    return (
        f"{platform.system()} {platform.machine()}, {psutil.cpu_count(logical=False) or os.cpu_count()} cores, "
        f"{spoken_bytes(psutil.virtual_memory().total)} of memory, {psutil.getloadavg()[0]:.1f} processes busy before; "
        f"{_commit()}{versions}."
    )


def _commit() -> str:
    """The commit that is checked out, and whether files differ from it; nothing where git cannot say."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!benchmarks/{RESULTS.name}")
    except OSError:
        return ""
    return f"commit {commit}{' with changes' if changed else ''}, " if commit else ""


def read_results(path: Path) -> dict[str, str]:
    """The entries of a file of results by name; none where there is no file."""
    return dict(ENTRY.findall(path.read_text("utf-8"))) if path.exists() else {}


def seconds_of(entry: str) -> int:
    """How long the run of an entry took; 0 for an empty one."""
    found = TOOK.search(entry)
    return sum(int(n or 0) * size for n, size in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0


def written(entries: Mapping[str, str], left_out: Mapping[str, str]) -> str:
    """The whole file."""
    together = duration(sum(map(seconds_of, entries.values())))
    sections = "\n".join(f"## {name}\n\n{entry}\n" for name, entry in entries.items())
    left = "\n".join(f"* `{name}` {why}." for name, why in left_out.items())
    head = (
        f"# Results of the benchmarks\n\nWritten by `make bench`; all that stands here took {together} together. Each "
        "entry names the commit it was measured at: those that read the default study read the one of that commit.\n\n"
    )
    return f"{head}{sections}\n## Not run here\n\n{left}\n"
