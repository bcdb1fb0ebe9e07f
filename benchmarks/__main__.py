"""All benchmarks that finish in minutes, one after another: `python -m benchmarks [NAME …]`, or `make bench`.

What each prints goes to benchmarks/RESULTS.md, with the machine and the versions it was measured with; NAMEs run only
those. Times are of this machine: measure on a quiet one. Each can be run alone too: `python -m benchmarks.NAME`.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from fasp_core.files.paths import PROJECT
from fasp_core.study.manifest import installed_versions
from fasp_core.words.spoken import duration, spoken_bytes

RESULTS = Path(__file__).parent / "RESULTS.md"

# By name, with the arguments that make it one of minutes; in the order in which they run.
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "generality": (),
    "estimators": ("--repeats", "400"),
    "omnibus": (),
    "selection": ("--study", "default"),
    "annealing": (),
    "compensation": (),
    "coupling": (),
    "scoring": (),
    "scorecard": (),
    "growth": ("--texts", "1536", "20000"),
    "shards": (),
    "combinations": ("--count", "100"),
    "faults": ("--kills", "0"),
    "sessions": (),
    "app": (),
}
LEFT_OUT = {
    "advantages": "takes half an hour",
    "architectures": "takes hours; it writes the table of docs/architectures.md",
    "cluster": "needs Ray",
    "joint": "is printed by selection",
    "pruning": "needs an exported configuration",
    "random_models": "is what architectures and combinations are made of",
    "scale": "takes half an hour",
    "study": "takes hours; it makes the shipped study",
}


@dataclass(frozen=True)
class Run:
    """What a benchmark printed, and how long it took; `status` is its exit status."""

    name: str
    arguments: tuple[str, ...]
    printed: str
    seconds: float
    status: int

    @property
    def markdown(self) -> str:
        """The run as a section of the results."""
        ended = "" if self.status == 0 else f" It ended with exit status {self.status}."
        command = " ".join(["python -m", f"benchmarks.{self.name}", *self.arguments])
        return f"## {self.name}\n\n`{command}`, {duration(self.seconds)}.{ended}\n\n```text\n{self.printed}\n```\n"


def run(name: str, arguments: tuple[str, ...]) -> Run:
    """Run one benchmark in a process of its own."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        cwd=PROJECT,
        env={**os.environ, "COLUMNS": "140", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    failed = f"\n{done.stderr.strip().splitlines()[-1]}" if done.returncode and done.stderr.strip() else ""
    printed = "\n".join(line.rstrip() for line in f"{done.stdout}{failed}".strip().splitlines())
    return Run(name, arguments, printed, time.monotonic() - started, done.returncode)


def machine() -> str:
    """What the figures depend on, in one line: kind, cores and memory of the machine, Python, and libraries."""
    versions = ", ".join(f"{name} {version}" for name, version in installed_versions().items())
    return (
        f"{platform.system()} {platform.machine()}, {psutil.cpu_count(logical=False) or os.cpu_count()} cores, "
        f"{spoken_bytes(psutil.virtual_memory().total)} of memory; {versions}."
    )


def results(runs: list[Run]) -> str:
    """The whole file."""
    left = "\n".join(f"* `{name}` {why}." for name, why in LEFT_OUT.items())
    head = f"# Results of the benchmarks\n\nWritten by `make bench`. {machine()}\n\n"
    return head + "\n".join(made.markdown for made in runs) + f"\n## Not run here\n\n{left}\n"


def main() -> int:
    """Run the benchmarks and write their figures; exit status 1 where one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} [default: all]")
    parser.add_argument("--to", type=Path, default=RESULTS, help="the file to write [default: benchmarks/RESULTS.md]")
    options = parser.parse_args()
    if unknown := set(options.names) - BENCHMARKS.keys():
        parser.error(f"no benchmark {', '.join(sorted(unknown))} here; known: {', '.join(BENCHMARKS)}")
    runs = []
    for name in options.names or BENCHMARKS:
        print(f"{name} …", flush=True)
        runs.append(run(name, BENCHMARKS[name]))
        print(f"  {duration(runs[-1].seconds)}, exit status {runs[-1].status}", flush=True)
        options.to.write_text(results(runs), "utf-8")
    return int(any(made.status for made in runs))


if __name__ == "__main__":
    sys.exit(main())
