"""`database`: a flipped bit gives no wrong number, a disk that is full or read-only says so, old files keep opening."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import pytest
from helpers.made_study import made_evaluation

from fasp_core.errors import InputError
from fasp_core.evaluation.database import CHECKED, TABLES, Database, _use_wal
from fasp_core.evaluation.keys import EvaluationPlan, Target
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.jobs.requests import RequestQueue

PLAN = EvaluationPlan("k", "i", "valid", {"text": "t", "age": "a"}, {"age": "f"})
SETS = [((layer, head),) for layer in range(2) for head in range(2)]
BLOCKS = {(stream, "0.3", number): [{"nll": 1.5 + number, "text": "ä"}] for stream in "ta" for number in range(2)}
REQUEST = Target("s", ((0, 3),), ("age",))


def made(heads):
    return made_evaluation(heads, "age", ["old", "young"], 1.0)


@pytest.fixture
def filled(tmp_path):
    """A folder whose database holds some of everything, in one file."""
    store = EvaluationStore(tmp_path)
    for heads in SETS:
        store.keep(PLAN, made(heads))
    for place, record in BLOCKS.items():
        store.put(*place, record)
    RequestQueue(tmp_path).ask("me", REQUEST)
    with closing(sqlite3.connect(tmp_path / "evaluations.sqlite")) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    return tmp_path


def read_all(root):
    """Everything as pages and worker read it; asserts that what is there is what was written. Counts what is gone."""
    store, lost = EvaluationStore(root), 0
    for heads in SETS:
        kept = store.kept(PLAN, heads)
        assert kept is None or kept.to_json() == made(heads).to_json()
        assert {text for _, text, _ in store.evaluations("i", heads)} <= {made(heads).to_json()}
        lost += kept is None
    known = {made(heads).to_json() for heads in SETS}
    for plan, text, _ in store.evaluations("i"):
        assert plan == PLAN
        assert text in known
    assert store.plan("k") in (None, PLAN)
    for place, record in BLOCKS.items():
        assert store.get(*place) in (None, record)
        lost += store.get(*place) is None
    for stream in "ta":
        assert all(BLOCKS[stream, "0.3", n] == record for n, record in store.blocks(stream, [(0, 3)]).items())
    RequestQueue(root).latest("me")
    RequestQueue(root).unfinished(60)
    return lost


def test_a_flipped_bit_is_never_a_wrong_number(filled):
    path = filled / "evaluations.sqlite"
    whole, rng = path.read_bytes(), random.Random(0)
    assert read_all(filled) == 0
    lost, refusals = 0, []
    for _ in range(80):
        data = bytearray(whole)
        at = rng.randrange(len(data) * 8)
        data[at // 8] ^= 1 << (at % 8)
        for other in filled.glob("evaluations.sqlite-*"):
            other.unlink()
        path.write_bytes(data)
        try:
            lost += read_all(filled)
        except InputError as error:
            refusals.append(str(error))
    assert all("damaged" in line or "newer version" in line for line in refusals)
    assert lost > 3  # the flips did hit what is stored


@pytest.mark.parametrize(
    "change", ["evaluation=replace(evaluation, '24', '25')", "heads='9.9'", "plan='k2'", "changed=changed+1"]
)
def test_a_summary_that_was_changed_counts_as_absent_and_is_written_anew(filled, change):
    store = EvaluationStore(filled)
    store.database.write(f"update evaluations set {change} where heads='0.0'")
    assert store.kept(PLAN, SETS[0]) is None
    assert {text for _, text, _ in store.evaluations("i")} == {made(heads).to_json() for heads in SETS[1:]}
    assert store.evaluations("i", [(9, 9)]) == []
    store.keep(PLAN, made(SETS[0]))
    assert store.kept(PLAN, SETS[0]).to_json() == made(SETS[0]).to_json()


def test_a_block_under_another_number_counts_as_absent(filled):
    store = EvaluationStore(filled)
    store.database.write("update blocks set block=9 where stream='t' and block=0")
    assert store.get("t", "0.3", 9) is None
    assert set(store.blocks("t", [(0, 3)])) == {1}
    store.put("t", "0.3", 9, [1])
    assert store.get("t", "0.3", 9) == [1]


def test_a_damaged_plan_is_mended_by_the_next_summary(filled):
    store = EvaluationStore(filled)
    store.database.write("update plans set split='test'")
    assert store.plan("k") is None
    assert store.evaluations("i") == []
    store.keep(PLAN, made(SETS[0]))
    assert len(store.evaluations("i")) == len(SETS)


def test_a_damaged_request_counts_as_none(filled):
    queue = RequestQueue(filled)
    for column, value in (("heads", "nonsense"), ("axes", "[1"), ("state", "quEued"), ("attempts", "many")):
        queue.ask("me", REQUEST)
        queue.database.write(f"update requests set {column}=?", value)
        assert queue.latest("me") is None
        assert queue.unfinished(60) == []


def test_a_file_of_version_5_keeps_what_it_holds(filled):
    path = filled / "evaluations.sqlite"
    with closing(sqlite3.connect(path)) as db:
        for table in CHECKED:
            db.execute(f"alter table {table} drop column checksum")
        db.execute("update blocks set record=x'00' where stream='t' and block=0")  # damaged before it had a checksum
        db.execute("pragma user_version=5")
        db.commit()
    assert read_all(filled) == 1
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("pragma user_version").fetchone() == (6,)
        columns = [[row[1] for row in db.execute(f"pragma table_info({table})")] for table in CHECKED]
    assert columns == [[*names.split(", "), "checksum"] for names in CHECKED.values()]
    assert len(TABLES) == 5


def test_a_read_only_folder_gives_what_is_known_and_says_so_to_those_who_write(filled, monkeypatch):
    connect = sqlite3.connect

    def read_only(path, **options):
        """What SQLite says on a file system that cannot be written: it finds no place for its shared memory."""
        if options.pop("uri", False):
            return connect(path, uri=True, **options)
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    monkeypatch.setattr("fasp_core.evaluation.database.sqlite3.connect", read_only)
    assert read_all(filled) == 0
    with pytest.raises(InputError, match=r"the folder is read-only.*can still be read"):
        EvaluationStore(filled).put("t", "", 0, 1)
    (filled / "evaluations.sqlite").unlink()
    assert EvaluationStore(filled).evaluations("i") == []
    with pytest.raises(InputError, match="the folder is read-only"):
        RequestQueue(filled).ask("me", REQUEST)


def test_a_folder_that_cannot_be_made_says_that_it_is_read_only(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    store = EvaluationStore(tmp_path / "none")
    assert store.get("t", "", 0) is None
    with pytest.raises(InputError, match="the folder is read-only"):
        store.put("t", "", 0, 1)


def test_a_full_disk_is_not_a_damaged_file(filled, monkeypatch):
    connect = sqlite3.connect

    def with_no_page_left(path, **options):
        db = connect(path, **options)
        db.execute(f"pragma max_page_count={db.execute('pragma page_count').fetchone()[0]}")
        return db

    monkeypatch.setattr("fasp_core.evaluation.database.sqlite3.connect", with_no_page_left)
    store = EvaluationStore(filled)
    with pytest.raises(InputError, match="the disk is full") as error:
        store.put("t", "", 0, list(range(100_000)))
    assert "delete" not in str(error.value)
    assert store.kept(PLAN, SETS[0]) is not None


def test_a_busy_file_says_to_try_again(filled):
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    assert "try again" in str(Database(filled)._unusable(busy))


class Busy:
    """A connection that two who switch at once get: refused without waiting, some times."""

    def __init__(self, code: int, times: int) -> None:
        self.code, self.left, self.done = code, times, []

    def execute(self, statement: str) -> None:
        if self.left:
            self.left -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self.code
            raise error
        self.done.append(statement)


def test_two_that_switch_to_write_ahead_logging_at_once_wait_for_each_other():
    busy = Busy(sqlite3.SQLITE_BUSY, 3)
    _use_wal(busy)
    assert busy.done == ["pragma journal_mode=wal"]
    with pytest.raises(sqlite3.OperationalError):
        _use_wal(Busy(sqlite3.SQLITE_READONLY, 1))
