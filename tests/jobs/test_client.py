"""The evaluation service: latest wish wins, sessions take turns, results come from the store, failures are said."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from fasp_core import jobs, models, worker
from fasp_core.errors import InputError
from fasp_core.evaluation_plan import EvaluationSettings
from fasp_core.refine import Budget
from fasp_core.scoring import score_heads
from fasp_core.shards import StudySettings
from fasp_core.store import EvaluationStore

AXIS = "gender_and_sex"


@pytest.fixture
def root(tiny_llama, tmp_path):
    score_heads(
        tiny_llama, axes=[AXIS], budget=Budget(samples=12, windows=4, knockout_windows=0), name="s", root=tmp_path,
        settings=StudySettings(max_new_tokens=3, window_tokens=24, samples_per_shard=12, windows_per_shard=4),
    )  # fmt: skip
    return tmp_path


@pytest.fixture
def service(root, tiny_llama, monkeypatch):
    """A client, and a worker in this process that serves one turn at a time."""
    small = EvaluationSettings(max_new_tokens=3, blocks=2, texts_per_block=6, windows_per_block=1, window_tokens=24)
    monkeypatch.setattr("fasp_core.evaluation.study_settings", lambda study: small)
    monkeypatch.setattr(models, "open_model", lambda ref: tiny_llama)
    monkeypatch.setattr(jobs.EvaluationClient, "_ensure_worker", lambda self: False)
    return jobs.EvaluationClient(root), worker.Worker(root)


def test_a_request_is_served_block_by_block(service):
    client, served = service
    assert client.latest("me").state == "idle"
    client.request("me", "s", [(0, 0)], [AXIS])
    assert client.latest("me").state == "starting"
    states = []
    while served.turn():
        status = client.latest("me")
        states.append((status.state, round(status.evaluation.fraction_done, 2)))
    assert states == [("running", 0.25), ("running", 0.5), ("running", 0.75), ("done", 1.0)]
    assert client.latest("me").evaluation.pruned == ((0, 0),)


def test_the_latest_wish_wins(service):
    client, served = service
    client.request("me", "s", [(0, 0)], [AXIS])
    served.turn()
    client.request("me", "s", [(1, 1)], [AXIS])
    assert client.latest("me").evaluation is None  # never the old set's numbers
    while served.turn():
        assert client.latest("me").evaluation.pruned == ((1, 1),)


def test_asking_for_the_same_again_keeps_the_result(service):
    client, served = service
    client.request("me", "s", [(0, 0)], [AXIS])
    served.turn()
    client.request("me", "s", [(0, 0)], [AXIS])
    assert client.latest("me").evaluation is not None


def test_sessions_take_turns(service):
    client, served = service
    client.request("a", "s", [(0, 0)], [AXIS])
    client.request("b", "s", [(1, 1)], [AXIS])
    for _ in range(4):
        served.turn()
    assert {client.latest(s).evaluation.n_texts for s in "ab"} == {6}
    assert client.latest("b").evaluation.pruned == ((1, 1),)
    client.request("b", "s", [(2, 2)], [AXIS])  # who changes one's mind gets no more turns by it
    served.turn()
    assert client.latest("b").state == "queued" or served._used_s["b"] <= served._used_s["a"] + 60


def test_a_request_that_kills_the_worker_is_begun_again_and_given_up_in_the_end(service, root):
    client, _ = service
    client.request("me", "s", [(0, 0)], [AXIS])
    store = EvaluationStore(root)
    (request,) = store.open_requests(60)
    for _ in range(2):
        store.begin(request)  # and there the worker died
    worker.Worker(root).turn()
    status = client.latest("me")
    assert (status.state, status.message) == ("running", jobs.RESTARTED)
    for _ in range(3):
        store.begin(request)
    worker.Worker(root).turn()
    assert client.latest("me").state == "failed"
    assert "ended 3 times while measuring this" in client.latest("me").message


def test_a_deleted_database_is_made_anew(service, root):
    client, served = service
    for path in root.glob("evaluations.sqlite*"):
        path.unlink()
    assert client.latest("me").state == "idle"
    client.request("me", "s", [(0, 0)], [AXIS])
    assert served.turn()
    assert client.latest("me").evaluation is not None


def test_the_database_of_the_first_version_opens_and_that_of_a_later_one_is_refused(tmp_path):
    path = tmp_path / "evaluations.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table blocks (plan text, heads text, block integer, record text not null)")
        db.execute("insert into blocks values ('p', '[]', 0, '{}')")
        db.commit()
    store = EvaluationStore(tmp_path)
    assert store.get("p", "[]", 0) is None
    store.put("p", "[]", 0, [{"nll": 1.0}])
    assert EvaluationStore(tmp_path).blocks("p", "[]") == {0: [{"nll": 1.0}]}
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma user_version=99")
    with pytest.raises(InputError, match="newer version"):
        EvaluationStore(tmp_path)


def test_failures_are_told_in_one_line(service):
    client, served = service
    client.request("me", "s", [(99, 0)], [AXIS])
    served.turn()
    status = client.latest("me")
    assert status.state == "failed"
    assert "does not exist" in status.message
    client.request("me", "s", [(0, 0)], [AXIS])  # and the service goes on
    served.turn()
    assert client.latest("me").evaluation is not None


def test_another_model_than_the_studys_is_refused(service, tiny_gpt2, monkeypatch):
    client, served = service
    monkeypatch.setattr(models, "open_model", lambda ref: tiny_gpt2)
    client.request("me", "s", [(0, 0)], [AXIS])
    served.turn()
    assert "not the model that study 's' was made with" in client.latest("me").message


def test_pages_that_nobody_looks_at_lose_their_turn(service, monkeypatch):
    client, served = service
    client.request("me", "s", [(0, 0)], [AXIS])
    monkeypatch.setattr(worker, "SEEN_WITHIN_S", -1.0)
    assert not served.turn()


def test_a_damaged_database_is_one_line(tmp_path):
    (tmp_path / "evaluations.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(InputError, match="delete it"):
        EvaluationStore(tmp_path)
