"""How opening a study and its scores grow with the texts it holds, as measured and compacted.

    python -m benchmarks.growth                 # some minutes, 2 GB of disk for a while

The shipped study's texts of one axis are written again under new numbers until there are as many as asked for, so all
that is read, checked and summed is of the real size. Times are the least of three, each in a process's first read of
that study: nothing is remembered between them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

import pyarrow as pa

from fasp_core.cli.output import print_table
from fasp_core.files.paths import cache_root
from fasp_core.study.compaction import compact
from fasp_core.study.shard_names import ADVANTAGE, SAMPLES, TOXICITY, ShardName, parse
from fasp_core.study.study import Study, open_study
from fasp_core.words.spoken import spoken_bytes

AXIS = "gender_and_sex"
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, nargs="+", default=[1_536, 20_000, 200_000])
    asked, rows = parser.parse_args(), []
    for texts in asked.texts:
        with TemporaryDirectory() as root:
            study = grown(texts, Path(root))
            for state in ("as measured", "compacted"):
                if state == "compacted":
                    compact(study)
                n = study.scores().intact[AXIS].n_samples
                size = sum(path.stat().st_size for path in study.folder.iterdir())
                files = str(len(study.manifest.shards))
                rows.append((f"{n:,}", state, files, spoken_bytes(size), *(f"{s:.2f} s" for s in opened(study))))
    print_table(("texts", "study", "shards", "size", "open", "scores"), rows)


def grown(texts: int, root: Path) -> Study:
    """A copy of the shipped study with at least so many texts of the axis."""
    copytree(cache_root() / "default", root / "s")
    study = open_study("s", root)
    made = [(name, study.read_shard(name)) for kind in (SAMPLES, TOXICITY, ADVANTAGE) for name in names(study, kind)]
    shards = len(names(study, SAMPLES))
    per_round = sum(study.manifest.shards[name].rows for name in names(study, SAMPLES))
    for again in range(1, -(-texts // per_round)):
        for name, table in made:
            of = parse(name)
            units = pa.array(table["unit"].to_numpy() + again * per_round, pa.int32())
            more = table.set_column(0, "unit", units)
            study.write_table(str(ShardName(of.kind, of.stream, of.shard + again * shards, of.scorer)), more)
    study.save_manifest()
    return open_study("s", root)


def names(study: Study, kind: str) -> list[str]:
    """The shards of a kind of the axis, by the study's first scorer."""
    return study.shard_names(kind, AXIS, scorer=None if kind == SAMPLES else next(iter(study.manifest.scorers)))


def opened(study: Study) -> tuple[float, float]:
    """Seconds to open the study, and to get its scores."""
    opening, scoring = [], []
    for _ in range(REPEATS):
        began = time.perf_counter()
        there = open_study("s", study.folder.parent)
        opened_at = time.perf_counter()
        there.scores()
        opening.append(opened_at - began)
        scoring.append(time.perf_counter() - opened_at)
    return min(opening), min(scoring)


if __name__ == "__main__":
    main()
