"""How fast the app answers: `python -m benchmarks.app [--json FILE] [--screenshots FOLDER | --first-load]`.

Each module beside this one with a `measure()` times one page. Times are of this machine: measure on a quiet one.
With --screenshots nothing is timed, the pictures of the README are made anew instead; with --first-load requests and
bytes of the first load are counted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
from importlib.util import find_spec
from pathlib import Path

from fasp_core.cli.output import print_table

PAGES = ("explore", "prune")


def main() -> None:
    """Time the pages and print a table, or take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the times to this file")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="take the pictures of the README instead")
    parser.add_argument("--first-load", action="store_true", help="count what a new browser loads instead")
    options = parser.parse_args()
    if options.screenshots:
        from .screenshots import take

        take(options.screenshots)
        return
    if options.first_load:
        from .first_load import first_load, show

        show(first_load())
        return
    timings = []
    for name in PAGES:
        if find_spec(f"benchmarks.app.{name}"):
            timings += importlib.import_module(f"benchmarks.app.{name}").measure()
    print_table(("interaction", "median", "slowest", "times", "at most"), [timing.cells() for timing in timings])
    if options.json:
        machine = {"python": platform.python_version(), "cores": os.cpu_count(), "system": platform.platform()}
        result = {"machine": machine, "timings": [timing.to_dict() for timing in timings]}
        options.json.write_text(json.dumps(result, indent=1), "utf-8")


if __name__ == "__main__":
    main()
