"""`store` and `database`: what is kept is found again, by any process; a file that cannot be used is one line."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from helpers.made_study import made_evaluation

from fasp_core.errors import InputError
from fasp_core.evaluation.blocks import MemoryStore
from fasp_core.evaluation.database import Database, checksum
from fasp_core.evaluation.keys import EvaluationPlan
from fasp_core.evaluation.store import EvaluationStore

PLAN = EvaluationPlan("k", "i", "valid", {"text": "t", "age": "a"}, {"age": "f"})
HEADS = ((0, 3), (5, 1))


def made(heads=HEADS, fraction=1.0):
    return made_evaluation(heads, "age", ["old", "young"], fraction)


@pytest.fixture(params=["memory", "database"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else EvaluationStore(tmp_path)


def test_a_block_is_kept_by_stream_heads_and_number(store):
    store.put("t", "", 0, [{"nll": 1.5, "text": "ä"}])
    store.put("t", "0.3", 0, [{"nll": 2.0}])
    assert store.get("t", "", 0) == [{"nll": 1.5, "text": "ä"}]
    assert store.get("t", "0.3", 0) == [{"nll": 2.0}]
    assert [store.get(*place) for place in (("t", "", 1), ("a", "", 0), ("t", "5.1", 0))] == [None] * 3


def test_the_newest_summary_is_kept(store):
    assert store.kept(PLAN, HEADS) is None
    store.keep(PLAN, made(fraction=0.5))
    store.keep(PLAN, made())
    assert store.kept(PLAN, HEADS[::-1]).to_json() == made().to_json()
    assert store.kept(PLAN, ()) is None


def test_blocks_of_a_head_set_come_by_number(tmp_path):
    store = EvaluationStore(tmp_path)
    for block in (2, 0, 10):
        store.put("t", "0.3-5.1", block, block)
    store.put("t", "", 1, 1)
    assert store.blocks("t", HEADS) == {0: 0, 2: 2, 10: 10}
    assert store.blocks("t", ()) == {1: 1}


def test_summaries_are_found_by_what_they_are_of(tmp_path):
    store = EvaluationStore(tmp_path)
    store.keep(PLAN, made())
    store.keep(PLAN, made(((2, 2),)))
    store.keep(EvaluationPlan("k2", "other", "valid", {}, {}), made())
    assert {text for _, text, _ in store.evaluations("i")} == {made().to_json(), made(((2, 2),)).to_json()}
    ((plan, text, changed),) = store.evaluations("i", HEADS)
    assert (plan, text) == (PLAN, made().to_json())
    assert changed > 0
    assert store.plan("k") == PLAN
    assert store.plan("none") is None


def test_many_at_once_lose_nothing(tmp_path):
    def write(worker: int) -> None:
        store = EvaluationStore(tmp_path)
        for block in range(10):
            store.put("t", str(worker), block, [worker, block])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    rows = Database(tmp_path).read("select count(*) from blocks")
    assert rows == [(80,)]


def test_a_file_that_was_deleted_is_made_anew(tmp_path):
    store = EvaluationStore(tmp_path)
    store.put("t", "", 0, 1)
    for path in tmp_path.glob("evaluations.sqlite*"):
        path.unlink()
    assert store.get("t", "", 0) is None
    store.put("t", "", 0, 2)
    assert store.get("t", "", 0) == 2


def test_a_file_of_an_earlier_version_is_emptied_and_that_of_a_later_one_refused(tmp_path):
    path = tmp_path / "evaluations.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table blocks (plan text, heads text, block integer, record text not null)")
        db.execute("create table forgotten (x integer)")
        db.execute("insert into blocks values ('p', '[]', 0, '{}')")
        db.commit()
    store = EvaluationStore(tmp_path)
    assert store.get("p", "[]", 0) is None
    tables = {name for (name,) in Database(tmp_path).read("select name from sqlite_master where type='table'")}
    assert tables == {"blocks", "plans", "evaluations", "requests"}
    store.put("p", "", 0, [{"nll": 1.0}])
    assert EvaluationStore(tmp_path).blocks("p", ()) == {0: [{"nll": 1.0}]}
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma user_version=99")
    with pytest.raises(InputError, match="newer version"):
        EvaluationStore(tmp_path)


def test_a_damaged_file_is_one_line(tmp_path):
    (tmp_path / "evaluations.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(InputError, match=r"is damaged.*delete it"):
        EvaluationStore(tmp_path)


def test_a_summary_of_another_version_counts_as_none(tmp_path):
    store = EvaluationStore(tmp_path)
    store.keep(PLAN, made())
    row = (PLAN.key, "0.3-5.1", '{"old": 1}', 1.0)
    store.database.write("insert or replace into evaluations values (?, ?, ?, ?, ?)", *row, checksum(*row))
    assert store.kept(PLAN, HEADS) is None
