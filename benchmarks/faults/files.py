"""Faults of files: bits flipped, a disk that is full, files that vanish. No model is needed."""

from __future__ import annotations

import errno
import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from unittest.mock import patch

from benchmarks.faults.tally import Tally, temporaries
from fasp_core.errors import InputError
from fasp_core.evaluation.database import Database
from fasp_core.evaluation.history import measured_sets
from fasp_core.evaluation.keys import Target
from fasp_core.evaluation.set_names import name_set, read_notes
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.jobs.jobs import list_jobs
from fasp_core.jobs.requests import RequestQueue
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.study import Study, list_studies, open_study

HEADS = ((0, 0), (0, 1))
BLOCK = [{"nll": 1.25, "continuation": "some words"}] * 8


# What is written, and read again as pages do. Each reader returns a value that must not change, or None for "absent".


def prepare(root: Path, study: Study) -> None:
    """One file of each kind beside the study."""
    store = EvaluationStore(root)
    for number in range(4):
        store.put("t", "0.0", number, BLOCK)
    name_set(study, HEADS, "mine", root)
    RequestQueue(root).ask("me", Target(study.name, HEADS, tuple(study.axes)))
    folder = root / ".jobs" / "20260101-000000-00000000"
    folder.mkdir(parents=True, exist_ok=True)
    record = {"key": "score x", "title": "Score x", "command": ["score", "--", "x"], "created": 1.7e9}
    (folder / "job.json").write_text(json.dumps(record))
    (folder / "end.json").write_text('{"status": 1}')
    with closing(Database(root)._open()) as db:
        db.execute("pragma wal_checkpoint(truncate)")


def read_blocks(root: Path, name: str) -> object:
    """Stored blocks, as evaluations and the Continuations page read them."""
    store = EvaluationStore(root)
    found = list(store.blocks("t", ((0, 0),)).values()) + [store.get("t", "0.0", n) for n in range(4)]
    measured_sets(open_study(name, root))
    RequestQueue(root).latest("me")
    return BLOCK if all(block in (BLOCK, None) for block in found) else found


def read_scores(root: Path, name: str) -> object:
    """The table of scores."""
    return open_study(name, root).scores().frame.to_csv()


def read_record(root: Path, name: str) -> object:
    """What the manifest says."""
    return open_study(name, root).manifest.model_dump_json()


def read_names(root: Path, name: str) -> object:
    """Names that people gave: letters may change with the file, which has no second copy, but nothing fails."""
    read_notes(root, name)
    return None


def read_jobs(root: Path, name: str) -> object:
    """The list of jobs: a flipped letter of a title is shown, but nothing fails."""
    list_jobs(root)
    return None


def flip_bits(root: Path, study: str, flips: int, rng: random.Random, tally: Tally) -> None:
    """Flip one bit at a time in every kind of file, and read it."""
    folder, job = root / study, root / ".jobs" / "20260101-000000-00000000"
    shard = max(folder.glob("gradient.text.*.parquet"))
    readers: list[tuple[Path, Callable[[Path, str], object]]] = [
        (root / "evaluations.sqlite", read_blocks),
        (folder / "manifest.json", read_record),
        (shard, read_scores),
        (root / ".sets" / f"{study}.json", read_names),
        (job / "job.json", read_jobs),
        (job / "end.json", read_jobs),
    ]
    for path, read in readers:
        kind, whole, truth = f"bit of {path.name}", path.read_bytes(), read(root, study)
        for _ in range(max(1, flips // (10 if read is read_scores else 1))):
            data = bytearray(whole)
            at = rng.randrange(8 * len(data))
            data[at // 8] ^= 1 << at % 8
            path.write_bytes(data)
            tally.count(kind)
            try:
                tally.check(kind, read(root, study) == truth, f"bit {at} changed what is read")
            except InputError as error:
                tally.check(kind, "\n" not in str(error), f"bit {at} gave more than a line")
            except Exception as error:  # whatever it is, it is what is looked for
                tally.check(kind, False, f"bit {at} gave {type(error).__name__}: {error}")
            for left in root.glob("evaluations.sqlite-*"):
                left.unlink()
        path.write_bytes(whole)
        tally.check(kind, read(root, study) == truth, "the whole file is not read any more")


# A disk that is full.


@contextmanager
def full_after(calls: int) -> Iterator[list[str]]:
    """Every call that writes to the disk works `calls` times in all, and then finds no space left."""
    left, refused = [calls], []

    def bounded(name: str, work: Callable) -> Callable:
        def call(*args, **more):
            left[0] -= 1
            if left[0] < 0:
                refused.append(name)
                raise OSError(errno.ENOSPC, "No space left on device")
            return work(*args, **more)

        return call

    names = ("fsync", "replace", "mkdir", "rename")
    with patch.multiple(os, **{name: bounded(name, getattr(os, name)) for name in names}):
        yield refused


def fill_disk(root: Path, study: str, tally: Tally) -> None:
    """Every kind of write with the disk full at its first step, its second, and so on until it has no more."""
    opened = open_study(study, root)
    scores = opened.scores()
    config = PruningConfig.from_selection(select_heads(scores, axis=scores.axes[0]), opened)
    table = opened.read_shard("windows.parquet")
    writes = {
        "shard": lambda: opened.write_shard("gradient.none.00000.parquet", table),
        "manifest": opened.save_manifest,
        "configuration": lambda: config.save(root / "made" / "c.json"),
        "scores": lambda: scores.to_csv(root / "made" / "scores.csv"),
        "name": lambda: name_set(opened, HEADS, "other", root),
    }
    for kind, write in writes.items():
        for calls in range(20):
            before = temporaries(root)
            with full_after(calls) as refused:
                try:
                    write()
                except InputError as error:
                    tally.check(kind, "the disk is full" in str(error), f"step {calls}: {error}")
                except Exception as error:
                    tally.check(kind, False, f"step {calls} gave {type(error).__name__}: {error}")
            tally.count(f"full disk, {kind}")
            tally.check(kind, temporaries(root) == before, f"step {calls} left a temporary file")
            tally.check(kind, study in list_studies(root) and bool(open_study(study, root)), "the study does not open")
            if not refused:
                break
        else:
            tally.problems.append(f"{kind}: it never got through")


def vanish(root: Path, study: str, tally: Tally) -> None:
    """A study's files deleted one by one while it is open; each reading is right or one line."""
    opened, truth = open_study(study, root), read_scores(root, study)
    for path in sorted((root / study).glob("*.*"))[:40]:
        kept = path.read_bytes()
        path.unlink()
        tally.count("vanished file")
        try:
            tally.check(path.name, opened.scores().frame.to_csv() == truth, "it is gone, and the scores differ")
        except InputError as error:
            tally.check(path.name, "\n" not in str(error), "more than a line")
        except Exception as error:
            tally.check(path.name, False, f"{type(error).__name__}: {error}")
        path.write_bytes(kept)
