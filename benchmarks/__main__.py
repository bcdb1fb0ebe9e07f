"""The benchmarks, one after another: `python -m benchmarks [--long] [NAME …]`, or `make bench`.

What each prints becomes its entry of benchmarks/RESULTS.md, with the time, the machine and the versions it was measured
with. An entry is written as soon as it is there, and the others stay as they are: so a run that was stopped goes on
with the NAMEs that are left, and one that fails, or needs what is not there, costs no other its figures. Without NAMEs
all run that finish in minutes; with --long also those that take half an hour or hours. Times are of this machine:
measure on a quiet one. Each can be run alone too: `python -m benchmarks.NAME`.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.app.serving import find_browser
from benchmarks.results import RESULTS, machine, read_results, run, seconds_of, written
from fasp_core.words.spoken import duration


@dataclass(frozen=True)
class Benchmark:
    """How one is run here: its arguments, a key of MISSING, and whether it takes half an hour or more."""

    arguments: tuple[str, ...] = ()
    needs: str = ""
    long: bool = False


# By name, with the arguments that make it one of minutes; in the order in which they run.
BENCHMARKS = {
    "generality": Benchmark(),
    "estimators": Benchmark(("--repeats", "400")),
    "omnibus": Benchmark(),
    "selection": Benchmark(("--study", "default")),
    "annealing": Benchmark(),
    "compensation": Benchmark(),
    "coupling": Benchmark(),
    "scoring": Benchmark(),
    "scorecard": Benchmark(),
    "growth": Benchmark(("--texts", "1536", "20000")),
    "shards": Benchmark(),
    "combinations": Benchmark(("--count", "100")),
    "faults": Benchmark(("--kills", "0")),
    "fuzz": Benchmark(),
    "sessions": Benchmark(),
    "cluster": Benchmark(needs="Ray (requirements-cluster.txt)"),
    "app": Benchmark(needs="Chromium"),
    "pages": Benchmark(needs="Chromium"),
    "advantages": Benchmark(long=True),
    "scale": Benchmark(long=True),
    "architectures": Benchmark(long=True),
}
LEFT_OUT = {
    "joint": "is printed by selection",
    "pruning": "needs an exported configuration",
    "random_models": "is what architectures and combinations are made of",
    "results": "writes this file",
    "study": "takes hours; it makes the shipped study",
}
MISSING = {
    "Ray (requirements-cluster.txt)": lambda: find_spec("ray") is None,
    "Chromium": lambda: find_browser() is None,
}


def why_not(name: str) -> str | None:
    """Why a benchmark of the list cannot run here, None where it can."""
    needs = BENCHMARKS[name].needs
    return f"needs {needs}" if needs and MISSING[needs]() else None


def left_out(entries: dict[str, str]) -> dict[str, str]:
    """Why there are no figures, of every benchmark without."""
    without = {
        name: why_not(name) or ("runs with --long" if benchmark.long else "was not run yet")
        for name, benchmark in BENCHMARKS.items()
        if name not in entries
    }
    return {**without, **LEFT_OUT}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks and write their figures; exit status 1 where one failed or a named one could not run."""
    listed = ", ".join(f"{name} (long)" if benchmark.long else name for name, benchmark in BENCHMARKS.items())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {listed} [default: all that are not long]")
    parser.add_argument("--long", action="store_true", help="those that take half an hour or hours too")
    parser.add_argument("--to", type=Path, default=RESULTS, help="the file to write [default: benchmarks/RESULTS.md]")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - BENCHMARKS.keys():
        parser.error(f"no benchmark {', '.join(sorted(unknown))} here; known: {', '.join(BENCHMARKS)}")
    names = options.names or [name for name, benchmark in BENCHMARKS.items() if options.long or not benchmark.long]
    entries, measured_on, failed, began = read_results(options.to), machine(), [], time.monotonic()
    known = [seconds_of(entries[name]) for name in names if name in entries]
    print(f"{len(names)} to run; the last time {len(known)} of them took {duration(sum(known))}", flush=True)
    for place, name in enumerate(names, 1):
        print(f"{place}/{len(names)} {name} …", flush=True)
        if reason := why_not(name):
            print(f"  left out: it {reason}", flush=True)
            failed += [name] if options.names else []
            continue
        made = run(name, BENCHMARKS[name].arguments)
        print(f"  {duration(made.seconds)}{'' if made.status == 0 else f', exit status {made.status}'}", flush=True)
        failed += [name] if made.status else []
        entries = {key: text for key in BENCHMARKS if (text := {**entries, name: made.entry(measured_on)}.get(key))}
        options.to.write_text(written(entries, left_out(entries)), "utf-8")
    print(f"{duration(time.monotonic() - began)} in all" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
