"""What was measured, in the database beside the studies: blocks, and the newest summary of each evaluation."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterable
from typing import Any

from fasp_core.evaluation.database import Database, checksum
from fasp_core.evaluation.keys import EvaluationPlan, pruned_name
from fasp_core.evaluation.result import Evaluation
from fasp_core.head import Head
from fasp_core.models.compensation_choice import Compensate


class EvaluationStore:
    """The blocks and summaries of a cache folder; a `blocks.BlockStore` for many processes at once.

    The one place where results are kept: the command line, the app and comparisons write here and read here.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.database = Database(root)

    def get(self, stream: str, name: str, block: int) -> Any | None:
        """A finished block, or None, also for a damaged one; `name` as `keys.pruned_name` gives it."""
        rows = self.database.read(
            "select record, checksum from blocks where stream=? and heads=? and block=?", stream, name, block
        )
        return _block(stream, name, block, *rows[0]) if rows else None

    def put(self, stream: str, name: str, block: int, record: Any) -> None:
        """Keep a finished block."""
        row = (stream, name, block, zlib.compress(json.dumps(record).encode()))
        self.database.write("insert or replace into blocks values (?, ?, ?, ?, ?)", *row, checksum(*row))

    def blocks(self, stream: str, heads: Iterable[Head], compensate: Compensate = "none") -> dict[int, Any]:
        """All finished blocks of one stream and pruned model, by number; damaged ones are left out."""
        name = pruned_name(heads, compensate)
        rows = self.database.read(
            "select block, record, checksum from blocks where stream=? and heads=? order by block", stream, name
        )
        found = {block: _block(stream, name, block, record, written) for block, record, written in rows}
        return {block: record for block, record in found.items() if record is not None}

    def streams(self, start: str, heads: Iterable[Head], compensate: Compensate = "none") -> list[str]:
        """The streams of which one pruned model has blocks and whose names begin with `start`, sorted."""
        rows = self.database.read(
            "select distinct stream from blocks where stream >= ? and stream < ? and heads=? order by stream",
            start,
            f"{start}\U0010ffff",
            pruned_name(heads, compensate),
        )
        return [stream for (stream,) in rows]

    def keep(self, plan: EvaluationPlan, evaluation: Evaluation) -> None:
        """Keep the newest summary of a plan's blocks for one pruned model, and the plan, by which it is found."""
        made = (plan.key, plan.identity, plan.split, json.dumps(plan.streams), json.dumps(plan.prompts))
        self.database.write("insert or replace into plans values (?, ?, ?, ?, ?, ?)", *made, checksum(*made))
        row = (plan.key, pruned_name(evaluation.pruned, evaluation.compensate), evaluation.to_json(), time.time())
        self.database.write("insert or replace into evaluations values (?, ?, ?, ?, ?)", *row, checksum(*row))

    def kept(self, plan: EvaluationPlan, heads: Iterable[Head], compensate: Compensate = "none") -> Evaluation | None:
        """The newest summary, or None, also for one that is damaged or that another version of the program wrote."""
        name = pruned_name(heads, compensate)
        rows = self.database.read(
            "select evaluation, changed, checksum from evaluations where plan=? and heads=?", plan.key, name
        )
        for text, changed, written in rows:
            if written == checksum(plan.key, name, text, changed):
                return read_evaluation(text)
        return None

    def plan(self, key: str) -> EvaluationPlan | None:
        """The plan of this key, or None."""
        rows = self.database.read("select * from plans where key=?", key)
        found = _plan(rows[0]) if rows else None
        return found if found is not None and found.key == key else None

    def evaluations(
        self, identity: str, heads: Iterable[Head] | None = None, compensate: Compensate = "none"
    ) -> list[tuple[EvaluationPlan, str, float]]:
        """Plan, JSON, time (epoch seconds) of an identity's summaries, or those of one pruned model; newest first."""
        name = None if heads is None else pruned_name(heads, compensate)
        rows = self.database.read(
            "select p.*, e.heads, e.evaluation, e.changed, e.checksum "
            "from plans p join evaluations e on e.plan = p.key "
            "where p.identity=? and (? is null or e.heads=?) order by e.changed desc",
            identity,
            name,
            name,
        )
        found = []
        for *made, of, text, changed, written in rows:
            plan = _plan(made)
            if plan is None or plan.identity != identity or name not in (None, of):
                continue
            if written == checksum(plan.key, of, text, changed):
                found.append((plan, text, changed))
        return found


def read_evaluation(text: str) -> Evaluation | None:
    """An evaluation from its JSON; None for one that another version of the program wrote: it is summed up anew."""
    try:
        return Evaluation.from_json(text)
    except ValueError:
        return None


def _block(stream: str, name: str, block: int, record: bytes, written: str) -> Any | None:
    """What a row holds, None where it is not what was written."""
    if written != checksum(stream, name, block, record):
        return None
    try:
        return json.loads(zlib.decompress(record))
    except (zlib.error, ValueError, TypeError):  # damaged before version 6, which gave it a checksum as it was
        return None


def _plan(row: Iterable[str]) -> EvaluationPlan | None:
    """The plan of a row of the table, None where it is not what was written."""
    *made, written = row
    if written != checksum(*made):
        return None
    key, identity, split, streams, prompts = made
    try:
        return EvaluationPlan(key, identity, split, json.loads(streams), json.loads(prompts))
    except (ValueError, TypeError):  # as above
        return None
