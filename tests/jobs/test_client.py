"""The evaluation service: the latest request wins, sessions take turns, failures are said, results lie in the store."""

from __future__ import annotations

import sys

import pytest

from fasp_core.evaluation.history import measured_set
from fasp_core.evaluation.keys import EvaluationSettings, Target
from fasp_core.jobs import client as jobs
from fasp_core.jobs import worker
from fasp_core.jobs.requests import RequestQueue
from fasp_core.models import open_model as models
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings
from fasp_core.study.study import open_study

AXIS = "gender_and_sex"


def target(*heads):
    return Target("s", heads, (AXIS,))


@pytest.fixture
def root(tiny_llama, tmp_path):
    score_heads(
        tiny_llama,
        axes=[AXIS],
        budget=Budget(samples=12, windows=4, knockout_windows=0),
        name="s",
        root=tmp_path,
        settings=StudySettings(max_new_tokens=3, window_tokens=24, samples_per_shard=12, windows_per_shard=4),
    )
    return tmp_path


@pytest.fixture
def service(root, tiny_llama, monkeypatch):
    """A client, and a worker in this process that serves one turn at a time."""
    small = EvaluationSettings(max_new_tokens=3, blocks=2, texts_per_block=6, windows_per_block=1, window_tokens=24)
    monkeypatch.setattr("fasp_core.evaluation.evaluate.study_settings", lambda study: small)
    monkeypatch.setattr(models, "open_model", lambda ref, **_: tiny_llama)
    monkeypatch.setattr(jobs.EvaluationClient, "_ensure_worker", lambda self: False)
    return jobs.EvaluationClient(root), worker.Worker(root)


def result(root, *heads):
    """What is known of a set, or None."""
    found = measured_set(open_study("s", root), target(*heads))
    return None if found is None else found.evaluation


def test_a_request_is_served_block_by_block(service, root):
    client, served = service
    assert client.latest("me").state == "idle"
    client.request("me", target((0, 0)))
    assert client.latest("me").state == "starting"
    assert result(root, (0, 0)) is None
    states = []
    while served.turn():
        states.append((client.latest("me").state, round(result(root, (0, 0)).fraction_done, 2)))
    assert states == [("running", 0.25), ("running", 0.5), ("running", 0.75), ("done", 1.0)]
    assert result(root, (0, 0)).pruned == ((0, 0),)


def test_the_latest_request_wins(service, root):
    client, served = service
    client.request("me", target((0, 0)))
    served.turn()
    client.request("me", target((1, 1)))
    while served.turn():
        assert result(root, (1, 1)) is not None
    assert client.latest("me").state == "done"
    assert result(root, (0, 0)).fraction_done == 0.25  # what was dropped went no further


def test_an_unfinished_request_made_again_stays(service):
    client, served = service
    client.request("me", target((0, 0)))
    served.turn()
    before = client.queue.latest("me")
    client.request("me", target((0, 0)))
    assert client.queue.latest("me") == before


def test_a_finished_request_made_again_is_answered_at_once(service, monkeypatch):
    client, served = service
    client.request("me", target((0, 0)))
    while served.turn():
        pass
    monkeypatch.setattr("fasp_core.evaluation.blocks.sample_continuations", None)
    client.request("me", target((0, 0)))
    assert served.turn()
    assert client.latest("me").state == "done"
    assert not served.turn()


def test_sessions_take_turns(service, root):
    client, served = service
    client.request("a", target((0, 0)))
    client.request("b", target((1, 1)))
    for _ in range(4):
        served.turn()
    assert {result(root, head).n_texts for head in ((0, 0), (1, 1))} == {6}
    client.request("b", target((2, 2)))  # who changes one's mind gets no more turns by it
    served.turn()
    assert client.latest("b").state == "queued" or served._used_s["b"] <= served._used_s["a"] + 60


def test_a_request_that_kills_the_worker_is_begun_again_and_given_up_in_the_end(service, root):
    client, _ = service
    client.request("me", target((0, 0)))
    queue = RequestQueue(root)
    (request,) = queue.unfinished(60)
    for _ in range(2):
        queue.begin(request)  # and there the worker died
    worker.Worker(root).turn()
    status = client.latest("me")
    assert (status.state, status.message) == ("running", jobs.RESTARTED)
    for _ in range(3):
        queue.begin(request)
    worker.Worker(root).turn()
    assert client.latest("me").state == "failed"
    assert "ended 3 times while measuring this" in client.latest("me").message


def test_a_worker_that_nobody_asks_for_ends_in_the_middle_of_a_block_and_another_goes_on(service, root):
    client, _ = service
    client.request("me", target((0, 0)))
    for _ in range(4):  # more often than a worker may die of a block: it did not
        worker.Worker(root, lambda: False).turn()
    assert result(root, (0, 0)) is None
    worker.Worker(root).turn()
    status = client.latest("me")
    assert (status.state, status.message) == ("running", jobs.RESTARTED)
    assert result(root, (0, 0)) is not None


def test_a_deleted_database_is_made_anew(service, root):
    client, served = service
    for path in root.glob("evaluations.sqlite*"):
        path.unlink()
    assert client.latest("me").state == "idle"
    client.request("me", target((0, 0)))
    assert served.turn()
    assert result(root, (0, 0)) is not None


def test_failures_are_told_in_one_line(service, root):
    client, served = service
    client.request("me", target((99, 0)))
    served.turn()
    status = client.latest("me")
    assert status.state == "failed"
    assert "does not exist" in status.message
    client.request("me", target((0, 0)))  # and the service goes on
    served.turn()
    assert client.latest("me").state == "running"
    assert result(root, (0, 0)) is not None


def test_another_model_than_the_studys_is_refused(service, tiny_gpt2, monkeypatch):
    client, served = service
    monkeypatch.setattr(models, "open_model", lambda ref, **_: tiny_gpt2)
    client.request("me", target((0, 0)))
    served.turn()
    assert "not the model that study 's' was made with" in client.latest("me").message


def test_pages_that_nobody_looks_at_lose_their_turn(service, monkeypatch):
    client, served = service
    client.request("me", target((0, 0)))
    monkeypatch.setattr(worker, "SEEN_WITHIN_S", -1.0)
    assert not served.turn()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "it was killed (signal 9)"),
        ("import sys; print('one'); sys.exit('no such library')", "exit status 1, no such library"),
        ("raise SystemExit(3)", "exit status 3, and said nothing"),
    ],
)
def test_a_worker_that_does_not_start_gives_its_true_reason(tmp_path, monkeypatch, code, reason):
    (tmp_path / jobs.LOG).write_text("a line of an earlier worker\n")
    popen, started = jobs.subprocess.Popen, []

    def start(command, **options):
        started.append(popen([sys.executable, "-S", "-c", code], **options))
        return started[-1]

    monkeypatch.setattr(jobs.subprocess, "Popen", start)
    client = jobs.EvaluationClient(tmp_path)
    client.request("me", target((0, 0)))
    for _ in range(jobs.MOST_FAILED_STARTS):
        started[-1].wait(30)
        status = client.latest("me")
    assert len(started) == jobs.MOST_FAILED_STARTS
    assert status.state == "failed"
    assert reason in status.message
    assert client.latest("me") == status
