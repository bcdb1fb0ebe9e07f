"""The SQLite database beside the studies: evaluated blocks, their summaries, and what each session wants evaluated.

Write-ahead logging lets pages read while the worker writes. Every method is one transaction, so a killed process
leaves nothing half-written. The file may be deleted at any time: only what can be measured again is lost. No torch.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import zlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError
from .estimates import Evaluation
from .evaluation_plan import EvaluationPlan
from .files import write_errors
from .paths import cache_root

SCHEMA_VERSION = 4
SCHEMA = """
create table if not exists blocks (
    stream text, heads text, block integer, record blob not null, primary key (stream, heads, block)
);
create table if not exists plans (
    key text primary key, identity text not null, split text not null, axes text not null, streams text not null,
    prompts text not null
);
create index if not exists plans_by_identity on plans (identity);
create table if not exists evaluations (
    plan text, heads text, evaluation text not null, changed real not null, primary key (plan, heads)
);
create table if not exists requests (
    session text primary key, id text not null, study text not null, axes text not null, split text not null,
    pruned text not null, state text not null, message text not null default '', result text, seen real not null,
    attempts integer not null default 0
);
pragma user_version=4;
"""
REQUEST = "session, id, study, axes, split, pruned, state, message, result, attempts"
FORGET_AFTER_S = 24 * 3600.0
MOST_ATTEMPTS = 3  # blocks of one request that a worker died of, before it is given up


@dataclass(frozen=True)
class Request:
    """One session's latest wish. `state` is queued, running, done or failed; `result` is an evaluation as JSON.

    `attempts` counts how often its next block was begun: above 1, a worker died of it, or was killed meanwhile.
    """

    session: str
    id: str
    study: str
    axes: tuple[str, ...]
    split: str
    pruned: tuple[tuple[int, int], ...]
    state: str
    message: str
    result: str | None
    attempts: int


class EvaluationStore:
    """The database `evaluations.sqlite` of a cache folder; safe to use from many processes and threads."""

    def __init__(self, root: str | os.PathLike | None = None) -> None:
        self.path = Path(cache_root(root)) / "evaluations.sqlite"
        with write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._prepare()

    # -- blocks and their summaries -------------------------------------------------------------------------------

    def get(self, stream: str, heads: str, block: int) -> Any | None:
        """A finished block, or None."""
        rows = self._run("select record from blocks where stream=? and heads=? and block=?", stream, heads, block)
        return _unpacked(rows[0][0]) if rows else None

    def put(self, stream: str, heads: str, block: int, record: Any) -> None:
        """Keep a finished block."""
        self._run("insert or replace into blocks values (?, ?, ?, ?)", stream, heads, block, _packed(record))

    def blocks(self, stream: str, heads: str) -> dict[int, Any]:
        """All finished blocks of one stream and head set, by number."""
        rows = self._run("select block, record from blocks where stream=? and heads=? order by block", stream, heads)
        return {block: _unpacked(record) for block, record in rows}

    def describe(self, plan: EvaluationPlan) -> None:
        """Note what a plan measures, so that its results can be found by what they are of."""
        self._run(
            "insert or ignore into plans values (?, ?, ?, ?, ?, ?)",
            plan.key, plan.identity, plan.split, json.dumps(plan.axes), json.dumps(plan.streams),
            json.dumps(plan.prompts),
        )  # fmt: skip

    def plan(self, key: str) -> EvaluationPlan | None:
        """The plan of this key, or None."""
        rows = self._run("select * from plans where key=?", key)
        return _plan(rows[0]) if rows else None

    def keep(self, plan: str, heads: str, evaluation: Evaluation) -> None:
        """Keep the newest summary of a plan's blocks for one head set."""
        text = json.dumps(evaluation.to_dict())
        self._run("insert or replace into evaluations values (?, ?, ?, ?)", plan, heads, text, time.time())

    def kept(self, plan: str, heads: str) -> Evaluation | None:
        """The newest summary, or None; None also for one that another version of the program wrote."""
        rows = self._run("select evaluation from evaluations where plan=? and heads=?", plan, heads)
        return read_evaluation(rows[0][0]) if rows else None

    def evaluations(self, identity: str, heads: str | None = None) -> list[tuple[EvaluationPlan, str, float]]:
        """Summaries of all plans of one identity: plan, summary as JSON, time; the newest first."""
        rows = self._run(
            "select p.*, e.evaluation, e.changed from plans p join evaluations e on e.plan = p.key "
            "where p.identity=? and (? is null or e.heads=?) order by e.changed desc",
            identity, heads, heads,
        )  # fmt: skip
        return [(_plan(row[:6]), row[6], row[7]) for row in rows]

    # -- requests ---------------------------------------------------------------------------------------------------

    def ask(self, session: str, request_id: str, study: str, axes: tuple[str, ...], split: str, pruned: tuple) -> None:
        """Set a session's wish; an earlier one of the same session is forgotten, and sessions of long ago are too."""
        self._run("delete from requests where seen < ?", time.time() - FORGET_AFTER_S)
        self._run(
            "insert or replace into requests (session, id, study, axes, split, pruned, state, seen) "
            "values (?, ?, ?, ?, ?, ?, 'queued', ?)",
            session, request_id, study, json.dumps(axes), split, json.dumps(pruned), time.time(),
        )  # fmt: skip

    def request(self, session: str, *, touch: bool = False) -> Request | None:
        """A session's latest wish; `touch` notes that somebody still looks at it."""
        if touch:
            self._run("update requests set seen=? where session=?", time.time(), session)
        rows = self._run(f"select {REQUEST} from requests where session=?", session)
        return _request(rows[0]) if rows else None

    def open_requests(self, seen_within_s: float) -> list[Request]:
        """Unfinished wishes that somebody looked at lately, in a fixed order."""
        since = time.time() - seen_within_s
        rows = self._run(
            f"select {REQUEST} from requests where state in ('queued', 'running') and seen > ? order by session", since
        )
        return [_request(row) for row in rows]

    def is_current(self, session: str, request_id: str) -> bool:
        """Whether this is still the session's latest wish."""
        return bool(self._run("select 1 from requests where session=? and id=?", session, request_id))

    def begin(self, request: Request) -> int:
        """Count the beginning of the request's next block, and give the count: 1 unless a worker died of it before."""
        self._run("update requests set attempts=attempts+1 where session=? and id=?", request.session, request.id)
        now = self.request(request.session)
        return now.attempts if now is not None else 1

    def say(self, request: Request, message: str) -> None:
        """Tell the session something, without an answer yet."""
        self._run("update requests set message=? where session=? and id=?", message, request.session, request.id)

    def answer(self, request: Request, state: str, *, message: str = "", result: dict[str, Any] | None = None) -> None:
        """Set the state and result of a wish, unless the session has a newer one. A None result keeps the old one."""
        self._run(
            "update requests set state=?, message=?, result=coalesce(?, result), attempts=0 where session=? and id=?",
            state, message, None if result is None else json.dumps(result), request.session, request.id,
        )  # fmt: skip

    # -- SQLite -----------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make the tables. Those of earlier versions are emptied: their keys meant something else."""
        try:
            with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as db:
                db.execute("pragma journal_mode=wal")
                db.execute("begin immediate")
                version = db.execute("pragma user_version").fetchone()[0]
                if version > SCHEMA_VERSION:
                    raise InputError(
                        f"{self.path} was made by a newer version of the program; use that one, or delete the file: it "
                        "holds only what can be measured again"
                    )
                for table in ("blocks", "plans", "evaluations", "requests") if version < SCHEMA_VERSION else ():
                    db.execute(f"drop table if exists {table}")
                for statement in SCHEMA.split(";\n"):
                    db.execute(statement)
                db.execute("commit")
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _run(self, statement: str, *values: Any, again: bool = True) -> list[tuple]:
        try:
            with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as db:
                return db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            if not (again and "no such table" in str(error)):
                raise self._unusable(error) from error
        self._prepare()  # the file was deleted
        return self._run(statement, *values, again=False)

    def _unusable(self, error: sqlite3.Error) -> InputError:
        return InputError(
            f"{self.path} cannot be used ({error}); if it is damaged, delete it, it holds only what can be measured "
            "again"
        )


def read_evaluation(text: str) -> Evaluation | None:
    """An evaluation from its JSON; None for one that another version of the program wrote, which is summed up anew."""
    try:
        return Evaluation.from_dict(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _packed(record: Any) -> bytes:
    return zlib.compress(json.dumps(record).encode())


def _unpacked(packed: bytes) -> Any:
    return json.loads(zlib.decompress(packed))


def _plan(row: tuple) -> EvaluationPlan:
    key, identity, split, axes, streams, prompts = row
    return EvaluationPlan(key, identity, split, tuple(json.loads(axes)), json.loads(streams), json.loads(prompts))


def _request(row: tuple) -> Request:
    session, request_id, study, axes, split, pruned, state, message, result, attempts = row
    return Request(
        session, request_id, study, tuple(json.loads(axes)), split, tuple(map(tuple, json.loads(pruned))), state,
        message, result, attempts,
    )  # fmt: skip
