"""Requests: which set of heads each session of the app wants measured, in the database beside the studies.

A session has one request, its latest. It says how far the measurement is, never what was measured: results are in
`EvaluationStore` alone.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import Any, Literal, get_args
from uuid import uuid4

from fasp_core.evaluation.database import Database
from fasp_core.evaluation.keys import Target, parse_pruned_name

RequestState = Literal["queued", "running", "done", "failed"]
COLUMNS = "session, id, study, heads, axes, split, state, message, attempts"
FORGET_AFTER_S = 24 * 3600.0


@dataclass(frozen=True)
class Request:
    """One session's request as it stands.

    `attempts` counts how often its next block was begun: above 1, a worker died of it, or was killed meanwhile.
    """

    session: str
    id: str
    target: Target
    state: RequestState
    message: str
    attempts: int


class RequestQueue:
    """The requests of one cache folder; safe to use from many processes and threads."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.database = Database(root)

    def ask(self, session: str, target: Target) -> None:
        """Set a session's request. Its earlier one is forgotten, and so are sessions not seen for a day."""
        now = time.time()
        self.database.write("delete from requests where seen < ?", now - FORGET_AFTER_S)
        self.database.write(
            "insert or replace into requests (session, id, study, heads, axes, split, state, seen) "
            "values (?, ?, ?, ?, ?, ?, 'queued', ?)",
            session,
            uuid4().hex,
            target.study,
            target.name,
            json.dumps(target.streams),
            target.split,
            now,
        )

    def latest(self, session: str, *, touch: bool = False) -> Request | None:
        """A session's request, or None; `touch` notes that somebody still looks at it."""
        if touch:
            self.database.write("update requests set seen=? where session=?", time.time(), session)
        rows = self.database.read(f"select {COLUMNS} from requests where session=?", session)
        return _request(rows[0]) if rows else None

    def unfinished(self, seen_within_s: float) -> list[Request]:
        """The queued and running requests that somebody looked at lately, by session."""
        rows = self.database.read(
            f"select {COLUMNS} from requests where state in ('queued', 'running') and abs(? - seen) < ? "
            "order by session",
            time.time(),
            seen_within_s,
        )
        return [request for request in map(_request, rows) if request is not None]

    def is_latest(self, request: Request) -> bool:
        """Whether the session has asked for nothing else since."""
        return bool(self.database.read("select 1 from requests where session=? and id=?", request.session, request.id))

    def begin(self, request: Request) -> int:
        """Count the beginning of the request's next block; returns the count, 1 unless a worker died of it before."""
        self._set(request, "attempts=attempts+1")
        now = self.latest(request.session)
        return now.attempts if now is not None else 1

    def note(self, request: Request, message: str) -> None:
        """Set the message that the session is shown; the state stays."""
        self._set(request, "message=?", message)

    def answer(self, request: Request, state: RequestState, message: str = "") -> None:
        """Set state and message after a block, whose count of attempts ends; a newer request is left alone."""
        self._set(request, "state=?, message=?, attempts=0", state, message)

    def _set(self, request: Request, columns: str, *values: str) -> None:
        self.database.write(
            f"update requests set {columns} where session=? and id=?", *values, request.session, request.id
        )


def _request(row: tuple[Any, ...]) -> Request | None:
    """The request of a row; None for a damaged one, which the session then makes again."""
    session, request_id, study, heads, streams, split, state, message, attempts = row
    try:
        pruned, compensate = parse_pruned_name(heads)
        target = Target(study, pruned, tuple(json.loads(streams)), split, compensate)
    except (ValueError, TypeError, RecursionError):
        return None
    if state not in get_args(RequestState) or type(attempts) is not int:
        return None
    return Request(session, request_id, target, state, message, attempts)
