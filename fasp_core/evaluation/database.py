"""The SQLite file `evaluations.sqlite` beside the studies: its tables, and how they are reached.

Write-ahead logging lets pages read while the worker writes. Every statement is a transaction of its own, so a killed
process leaves nothing half-written. What can be measured again carries a checksum over its whole row: a row that
differs from what was written counts as absent. The file may be deleted at any time: only what can be measured again
is lost.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from fasp_core.errors import InputError
from fasp_core.files.paths import cache_root
from fasp_core.files.writing import READ_ONLY, write_errors

WAIT_S = 30.0  # for others that hold the database
VERSION = 6  # of the tables
# Version 5 is this one without checksums, and gets them. Earlier files are emptied: their keys meant something else.
WITHOUT_CHECKSUMS = 5
# `blocks`, `plans` and `evaluations` are those of `store.EvaluationStore`, `requests` that of `jobs.requests`.
# `heads` is a `keys.pruned_name`; `axes` of requests (streams of bias) and records are JSON.
TABLES = (
    """create table blocks (
        stream text, heads text, block integer, record blob not null, checksum text,
        primary key (stream, heads, block)
    )""",
    """create table plans (
        key text primary key, identity text not null, split text not null, streams text not null,
        prompts text not null, checksum text
    )""",
    "create index plans_by_identity on plans (identity)",
    """create table evaluations (
        plan text, heads text, evaluation text not null, changed real not null, checksum text,
        primary key (plan, heads)
    )""",
    """create table requests (
        session text primary key, id text not null, study text not null, heads text not null, axes text not null,
        split text not null, state text not null, message text not null default '', seen real not null,
        attempts integer not null default 0
    )""",
)
CHECKED = {
    "blocks": "stream, heads, block, record",
    "plans": "key, identity, split, streams, prompts",
    "evaluations": "plan, heads, evaluation, changed",
}
OWN_TABLES = "select name from sqlite_master where type='table' and name not like 'sqlite_%'"
# What a file that SQLite did not write so makes it say; the statements themselves are right.
DAMAGE = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_FORMAT,
)
SPACE_TO_WORK = 2**20  # bytes; with less left, SQLite's error of input and output is that of a full disk


def checksum(*row: Any) -> str:
    """16 hex digits over the values of a row, in the order of `CHECKED`."""
    return hashlib.sha256(repr(row).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Database:
    """The database of one cache folder; safe to use from many processes and threads.

    Raises InputError, in one line, for a file that cannot be used: damaged, of a newer version, on a full disk. Where
    nothing can be written, what is there can be read.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(cache_root(root)) / "evaluations.sqlite"
        try:
            self._prepare()
        except _ReadOnly:
            return  # reading needs no preparation; writing says it again

    def read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of one SQL query; none where there is no file."""
        try:
            return self._run(statement, values)
        except _ReadOnly:
            pass
        # Write-ahead logging needs a file of shared memory beside the database, unless that is said not to change.
        try:
            with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro&immutable=1", uri=True)) as db:
                db.text_factory = _text
                return db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            if not self.path.exists() or "no such table" in str(error):
                return []
            raise self._unusable(error) from error

    def write(self, statement: str, *values: Any) -> None:
        """Run one SQL statement that changes something."""
        self._run(statement, values)

    def _run(self, statement: str, values: tuple[Any, ...], remake: bool = True) -> list[tuple[Any, ...]]:
        """The rows of a statement; a file that was deleted meanwhile is made anew."""
        try:
            with closing(self._open()) as db:
                return db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            if not (remake and "no such table" in str(error)):
                raise self._unusable(error) from error
        self._prepare()
        return self._run(statement, values, remake=False)

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)
        db.text_factory = _text
        return db

    def _prepare(self) -> None:
        """Make the tables where they are not there yet, and bring those of an earlier version up to this one."""
        with write_errors(self.path):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                if error.errno in READ_ONLY:
                    raise self._not_writable() from error
                raise
        try:
            with closing(self._open()) as db:
                if _version(db) == VERSION:
                    return
                _use_wal(db)
                db.execute("begin immediate")
                version = _version(db)  # anew: another process may have been faster
                if version > VERSION:
                    raise InputError(
                        f"{self.path} was made by a newer version of the program; use that one, or delete the file: it "
                        "holds only what can be measured again"
                    )
                if version == WITHOUT_CHECKSUMS:
                    _add_checksums(db)
                elif version < VERSION:
                    for (name,) in db.execute(OWN_TABLES).fetchall():
                        db.execute(f'drop table "{name}"')
                    for statement in TABLES:
                        db.execute(statement)
                db.execute(f"pragma user_version={VERSION}")
                db.execute("commit")
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: sqlite3.Error) -> InputError:
        """The line for an error of SQLite: a full disk, one that cannot be written, a damaged file, or another."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the upper bits are details
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(self.path.parent)):
            return InputError(
                f"cannot write {self.path}: the disk is full; free some space and try again, finished work is kept"
            )
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            return self._not_writable()
        if code in DAMAGE:
            return InputError(f"{self.path} is damaged ({error}); delete it: it holds only what can be measured again")
        return InputError(f"{self.path} cannot be used now ({error}); try again")

    def _not_writable(self) -> _ReadOnly:
        return _ReadOnly(
            f"cannot write {self.path}: the folder is read-only; allow writing there, or set FASP_CACHE to another "
            "folder. What was measured can still be read"
        )


class _ReadOnly(InputError):
    """Nothing can be written to the folder of studies."""


def _version(db: sqlite3.Connection) -> int:
    return db.execute("pragma user_version").fetchone()[0]


def _add_checksums(db: sqlite3.Connection) -> None:
    for table, columns in CHECKED.items():
        db.execute(f"alter table {table} add column checksum text")
        for number, *row in db.execute(f"select rowid, {columns} from {table}").fetchall():
            db.execute(f"update {table} set checksum=? where rowid=?", (checksum(*row), number))


def _is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < SPACE_TO_WORK


def _text(data: bytes) -> str:
    """Text that is no UTF-8 is no error: its checksum differs."""
    return data.decode("utf-8", "replace")


def _use_wal(db: sqlite3.Connection) -> None:
    """Let readers and a writer work at once; for this switch alone SQLite does not wait for others by itself."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            db.execute("pragma journal_mode=wal")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
