"""Faults of the machine: a disk that is full, one that is read-only, a clock that is set. No model is needed."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import psutil

from benchmarks.faults.files import BLOCK, HEADS, read_blocks, read_record, read_scores
from benchmarks.faults.tally import Tally, temporaries
from fasp_core.errors import InputError
from fasp_core.evaluation.keys import Target
from fasp_core.evaluation.set_names import name_set
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.jobs.jobs import LIVE, list_jobs
from fasp_core.jobs.processes import boot, identity
from fasp_core.jobs.requests import RequestQueue
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.importing import import_scores
from fasp_core.study.study import Study, create_study, delete_study, list_studies, open_study

WRITING = ("fsync", "replace", "mkdir", "rename")  # of the module os: what every whole file and folder passes through
STEPS = 40  # more than any write takes
HOUR_S = 3600.0


def writes(root: Path, study: Study) -> dict[str, Callable[[], object]]:
    """Every kind of write: each makes a file anew, whole, or replaces it."""
    scores, table = study.scores(), study.read_shard("windows.parquet")
    config = PruningConfig.from_selection(select_heads(scores, axis=scores.axes[0]), study)
    made, target = root / "made", Target(study.name, HEADS, tuple(study.axes))
    made.mkdir(exist_ok=True)
    scores.to_csv(made / "to_import.csv")
    prompts, windows = study.prompts, study.windows
    return {
        "shard": lambda: study.write_shard("gradient.none.00000.parquet", table),
        "manifest": study.save_manifest,
        "new study": lambda: create_study(root / "new", study.manifest.model_copy(deep=True), prompts, windows),
        "imported study": lambda: import_scores(made / "to_import.csv", name="imported", root=root, force=True),
        "configuration": lambda: config.save(made / "c.json"),
        "scores": lambda: scores.to_csv(made / "scores.csv"),
        "scores as Parquet": lambda: scores.to_parquet(made / "scores.parquet"),
        "name": lambda: name_set(study, HEADS, "other", root),
        "block of an evaluation": lambda: EvaluationStore(root).put("t", "0.1", 0, BLOCK),
        "request": lambda: RequestQueue(root).ask("another", target),
    }


@contextmanager
def refused_after(calls: int, code: int) -> Iterator[list[str]]:
    """Every call that writes works `calls` times in all, and then ends with this error; SQLite with its like."""
    left, refused = [calls], []

    def bounded(name: str, work: Callable) -> Callable:
        def call(*args, **more):
            if str(args[0]).endswith(".replaced"):  # back to the place that was just given up, which needs none
                return work(*args, **more)
            left[0] -= 1
            if left[0] < 0:
                refused.append(name)
                raise OSError(code, os.strerror(code))
            return work(*args, **more)

        return call

    def opened(path, **options):
        if options.get("uri"):
            return connect(path, **options)
        left[0] -= 1
        if left[0] >= 0:
            return connect(path, **options)
        refused.append("database")
        if code == errno.EROFS:  # what SQLite finds on a file system that cannot be written
            return connect(f"file:{path}?mode=ro", uri=True, **options)
        database = connect(path, **options)
        database.execute(f"pragma max_page_count={database.execute('pragma page_count').fetchone()[0]}")
        return database

    connect = sqlite3.connect
    with (
        patch.multiple(os, **{name: bounded(name, getattr(os, name)) for name in WRITING}),
        patch("fasp_core.evaluation.database.sqlite3.connect", opened),
    ):
        yield refused


def fill_disk(root: Path, study: str, tally: Tally) -> None:
    """Every kind of write with the disk full at its first step, its second, and so on until it has no more."""
    _refuse(root, study, tally, errno.ENOSPC, "full disk", "the disk is full")


def make_read_only(root: Path, study: str, tally: Tally) -> None:
    """Every kind of write where nothing can be written, which says so; what is known is read as ever."""
    _refuse(root, study, tally, errno.EROFS, "read-only disk", "read-only")
    known = [read(root, study) for read in (read_scores, read_record, read_blocks)]
    with refused_after(0, errno.EROFS):
        tally.count("reading from a read-only disk")
        try:
            again = [read(root, study) for read in (read_scores, read_record, read_blocks)]
            tally.check("read-only disk", again == known, "what is read has changed")
            tally.check("read-only disk", study in list_studies(root), "the study is not listed")
            list_jobs(root)
        except Exception as error:
            tally.check("read-only disk", False, f"reading gave {type(error).__name__}: {error}")


def _refuse(root: Path, study: str, tally: Tally, code: int, what: str, said: str) -> None:
    opened = open_study(study, root)
    truth = read_scores(root, study)
    for kind, write in writes(root, opened).items():
        for calls in range(STEPS):
            before = temporaries(root)
            with refused_after(calls, code) as refused:
                try:
                    write()
                except InputError as error:
                    tally.check(kind, said in str(error) and "\n" not in str(error), f"step {calls}: {error}")
                except Exception as error:
                    tally.check(kind, False, f"step {calls} gave {type(error).__name__}: {error}")
            tally.count(f"{what}, {kind}")
            tally.check(kind, temporaries(root) == before, f"step {calls} left a temporary file")
            tally.check(kind, study in list_studies(root) and bool(open_study(study, root)), "the study does not open")
            if not refused:
                break
        else:
            tally.problems.append(f"{kind}: it never got through")
    for made in {"new", "imported"} & {*list_studies(root)}:
        delete_study(made, root)
    with opened.writing():
        opened.drop_shards({"gradient.none.00000.parquet"} & opened.manifest.shards.keys())
    tally.check(what, read_scores(root, study) == truth, "the scores have changed")


def set_clock(root: Path, study: str, tally: Tally) -> None:
    """The time of day set back and forth: a live job stays live, requests are served, what is kept is found."""
    folder, me = root / ".jobs" / "20260101-000000-0000c10c", psutil.Process()
    folder.mkdir(parents=True)
    record = {"key": "clock", "title": "clock", "command": ["studies"], "created": time.time()}
    (folder / "job.json").write_text(json.dumps(record | {"boot": boot(), "begun": time.monotonic()}))
    (folder / "process.json").write_text(json.dumps({"pid": me.pid, "identity": identity(me)}))
    queue, real, truth = RequestQueue(root), time.time, read_scores(root, study)
    for hours in (-24 * 365, -25, -1, -0.01, 0.01, 1, 25, 24 * 365):
        queue.ask("clock", Target(study, HEADS, tuple(open_study(study, root).axes)))
        with patch("time.time", lambda hours=hours: real() + hours * HOUR_S):
            tally.count("clock that is set")
            job = next(job for job in list_jobs(root) if job.id == folder.name)
            tally.check("clock", job.state in LIVE, f"by {hours} h: a job that runs is shown as {job.state}")
            asked = queue.latest("clock", touch=True)
            waiting = [request.session for request in queue.unfinished(30)]
            tally.check("clock", asked is not None and "clock" in waiting, f"by {hours} h: a request is forgotten")
            tally.check("clock", read_scores(root, study) == truth, f"by {hours} h: the scores differ")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
