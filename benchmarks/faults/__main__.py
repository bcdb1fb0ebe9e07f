"""Faults on purpose: `python -m benchmarks.faults [--flips 300] [--kills 50] [--seed 0] [--study default]`.

On a copy of a study: bits flipped in every kind of file, shards cut, a disk that is full or read-only at every step of
every kind of write, files that vanish while they are read, a clock that is set, a study deleted while every page shows
it; and jobs, workers, drivers of a cluster, and servers of which two share the folder, killed at random moments. After
each, what is read is what was written, or one line says what is wrong; nothing finished is lost; no temporary file and
no process is left. Printed is how often each was tried, and every case that was not so.

Fifty kills of each of the four take about an hour with the default model. Drivers are those of Ray where it is
installed (requirements-cluster.txt).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.faults.files import flip_bits, prepare, truncate, vanish
from benchmarks.faults.kills import kill_drivers, kill_jobs, kill_workers
from benchmarks.faults.machine import fill_disk, make_read_only, set_clock
from benchmarks.faults.servers import delete_shown, kill_servers
from benchmarks.faults.tally import Tally
from fasp_core.files.paths import cache_root
from fasp_core.study.study import open_study


def main(arguments: list[str] | None = None) -> int:
    """Try everything on a copy of the study; exit status 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=300, help="bits flipped in each kind of file")
    parser.add_argument("--kills", type=int, default=50, help="of each kind of process; 0 needs no model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--study", default="default")
    given = parser.parse_args(arguments)
    rng, tally = random.Random(given.seed), Tally()
    with tempfile.TemporaryDirectory() as folder:
        root, source = Path(folder), cache_root()
        shutil.copytree(source / given.study, root / given.study)
        if (source / "models").exists():
            (root / "models").symlink_to((source / "models").resolve(), target_is_directory=True)
        os.environ["FASP_CACHE"] = str(root)
        prepare(root, open_study(given.study, root))
        flip_bits(root, given.study, given.flips, rng, tally)
        truncate(root, given.study, max(1, given.flips // 30), rng, tally)
        fill_disk(root, given.study, tally)
        make_read_only(root, given.study, tally)
        set_clock(root, given.study, tally)
        vanish(root, given.study, tally)
        if given.kills:
            kill_jobs(root, given.study, given.kills, rng, tally)
            kill_workers(root, given.study, given.kills, rng, tally)
            kill_drivers(root, given.study, given.kills, rng, tally)
            kill_servers(root, given.study, given.kills, rng, tally)
            delete_shown(root, given.study, rng, tally)
    for kind, tried in tally.tried.items():
        print(f"{kind}: {tried} times")
    print("\n".join(tally.problems) or "nothing was wrong, lost or left over")
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
