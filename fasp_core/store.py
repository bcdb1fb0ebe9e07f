"""The SQLite database beside the studies: evaluated blocks, and what each browser session wants evaluated.

Write-ahead logging lets pages read while the worker writes. Every method is one transaction, so a killed process
leaves nothing half-written. No torch here.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import write_errors
from .paths import cache_root

SCHEMA = """
create table if not exists blocks (
    plan text, heads text, block integer, record text not null, primary key (plan, heads, block)
);
create table if not exists requests (
    session text primary key, id text not null, study text not null, axes text not null, split text not null,
    pruned text not null, state text not null, message text not null default '', result text, seen real not null
);
"""


@dataclass(frozen=True)
class Request:
    """One session's latest wish. `state` is queued, running, done or failed; `result` is `Evaluation.to_dict()`."""

    session: str
    id: str
    study: str
    axes: tuple[str, ...]
    split: str
    pruned: tuple[tuple[int, int], ...]
    state: str
    message: str
    result: dict[str, Any] | None


class EvaluationStore:
    """The database `evaluations.sqlite` of a cache folder; safe to use from many processes and threads."""

    def __init__(self, root: str | os.PathLike | None = None) -> None:
        self.path = Path(cache_root(root)) / "evaluations.sqlite"
        with write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._run("pragma journal_mode=wal")
        for statement in SCHEMA.split(";\n"):
            self._run(statement)

    def get(self, plan: str, heads: str, block: int) -> dict[str, Any] | None:
        """A finished block, or None."""
        rows = self._run("select record from blocks where plan=? and heads=? and block=?", plan, heads, block)
        return json.loads(rows[0][0]) if rows else None

    def put(self, plan: str, heads: str, block: int, record: dict[str, Any]) -> None:
        """Keep a finished block."""
        self._run("insert or replace into blocks values (?, ?, ?, ?)", plan, heads, block, json.dumps(record))

    def ask(self, session: str, request_id: str, study: str, axes: tuple[str, ...], split: str, pruned: tuple) -> None:
        """Set a session's wish; an earlier one of the same session is forgotten."""
        self._run(
            "insert or replace into requests (session, id, study, axes, split, pruned, state, seen) "
            "values (?, ?, ?, ?, ?, ?, 'queued', ?)",
            session, request_id, study, json.dumps(axes), split, json.dumps(pruned), time.time(),
        )  # fmt: skip

    def request(self, session: str, *, touch: bool = False) -> Request | None:
        """A session's latest wish; `touch` notes that somebody still looks at it."""
        if touch:
            self._run("update requests set seen=? where session=?", time.time(), session)
        rows = self._run("select * from requests where session=?", session)
        return _request(rows[0]) if rows else None

    def open_requests(self, seen_within_s: float) -> list[Request]:
        """Unfinished wishes that somebody looked at lately, in a fixed order."""
        since = time.time() - seen_within_s
        rows = self._run(
            "select * from requests where state in ('queued', 'running') and seen > ? order by session", since
        )
        return [_request(row) for row in rows]

    def is_current(self, session: str, request_id: str) -> bool:
        """Whether this is still the session's latest wish."""
        return bool(self._run("select 1 from requests where session=? and id=?", session, request_id))

    def answer(self, request: Request, state: str, *, message: str = "", result: dict[str, Any] | None = None) -> None:
        """Set the state and result of a wish, unless the session has a newer one. A None result keeps the old one."""
        self._run(
            "update requests set state=?, message=?, result=coalesce(?, result) where session=? and id=?",
            state, message, None if result is None else json.dumps(result), request.session, request.id,
        )  # fmt: skip

    def _run(self, statement: str, *values: Any) -> list[tuple]:
        try:
            with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as db:
                return db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise InputError(
                f"{self.path} cannot be used ({error}); if it is damaged, delete it, it holds only what can be "
                "measured again"
            ) from error


def _request(row: tuple) -> Request:
    session, request_id, study, axes, split, pruned, state, message, result, _ = row
    return Request(
        session, request_id, study, tuple(json.loads(axes)), split, tuple(map(tuple, json.loads(pruned))), state,
        message, json.loads(result) if result else None,
    )  # fmt: skip
