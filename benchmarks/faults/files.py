"""Faults of files: bits flipped, files cut, files that vanish. No model is needed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks.faults.tally import Tally
from fasp_core.errors import InputError
from fasp_core.evaluation.database import Database
from fasp_core.evaluation.history import measured_sets
from fasp_core.evaluation.keys import Target
from fasp_core.evaluation.set_names import name_set, read_notes
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.jobs.jobs import list_jobs
from fasp_core.jobs.requests import RequestQueue
from fasp_core.study.study import Study, open_study

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


def truncate(root: Path, study: str, times: int, rng: random.Random, tally: Tally) -> None:
    """A shard of every kind cut somewhere, as a copy that was broken off leaves it; its reading is one line."""
    opened, kinds = open_study(study, root), {}
    for name in sorted(opened.manifest.shards):
        kinds[name.split(".")[0]] = name
    for name in kinds.values():
        path = opened.folder / name
        whole = path.read_bytes()
        for _ in range(times):
            path.write_bytes(whole[: rng.randrange(len(whole))])
            tally.count("truncated shard")
            try:
                opened.read_shard(name)
                tally.check(name, False, "it is cut, and was read")
            except InputError as error:
                tally.check(name, "\n" not in str(error) and "is damaged" in str(error), str(error))
        path.write_bytes(whole)
        tally.check(name, opened.read_shard(name).num_rows > 0, "whole again, it is not read")


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
