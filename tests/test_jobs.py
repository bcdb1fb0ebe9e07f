"""The evaluation service: latest wish wins, sessions take turns, results come from the store, failures are said."""

from __future__ import annotations

import pytest

from fasp_core import jobs, models, worker
from fasp_core.errors import InputError
from fasp_core.evaluation import EvaluationSettings
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
    small = EvaluationSettings(max_new_tokens=3, blocks=3, texts_per_block=6, windows_per_block=1, window_tokens=24)
    monkeypatch.setattr("fasp_core.evaluation.EvaluationSettings", lambda: small)
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
    assert states == [("running", 0.33), ("running", 0.67), ("done", 1.0)]
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
    served.turn()
    assert {client.latest(s).evaluation.n_texts for s in "ab"} == {6}
    assert client.latest("b").evaluation.pruned == ((1, 1),)


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
