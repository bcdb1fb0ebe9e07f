"""The queue of requests: one per session, the latest; old ones are forgotten; attempts are counted block by block."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fasp_core.evaluation.keys import Target
from fasp_core.jobs import requests
from fasp_core.jobs.requests import RequestQueue

TARGET = Target("s", ((0, 3), (5, 1)), ("religion", "age"), "test")
OTHER = Target("s", ((2, 2),), ("age",))


@pytest.fixture
def queue(tmp_path):
    return RequestQueue(tmp_path)


def asked(queue, session="me", target=TARGET):
    queue.ask(session, target)
    return queue.latest(session)


def test_a_request_is_read_as_it_was_made(queue, tmp_path):
    made = asked(queue)
    assert (made.session, made.target, made.state, made.message, made.attempts) == ("me", TARGET, "queued", "", 0)
    assert RequestQueue(tmp_path).latest("me") == made
    assert queue.latest("you") is None


@pytest.mark.parametrize("target", [Target("s", (), ("age",)), Target("ä 'quoted\" name", ((0, 0),), ())])
def test_every_target_survives(queue, target):
    assert asked(queue, target=target).target == target


def test_the_latest_request_takes_the_place_of_the_one_before(queue):
    first = asked(queue)
    second = asked(queue, target=OTHER)
    assert not queue.is_latest(first)
    assert queue.is_latest(second)
    queue.answer(first, "failed", "too late")
    queue.note(first, "too late")
    queue.begin(first)
    assert queue.latest("me") == second


def test_the_same_request_made_again_is_a_new_one(queue):
    first = asked(queue)
    assert asked(queue).id != first.id
    assert not queue.is_latest(first)


@pytest.mark.parametrize("step", [100, -100])
def test_unfinished_are_those_to_work_on_that_somebody_looks_at(queue, monkeypatch, step):
    """Nobody has looked since a time that is long past, nor since one that a clock set back has still to come to."""
    for session, state in (("d", "queued"), ("c", "running"), ("b", "done"), ("a", "failed")):
        queue.answer(asked(queue, session), state)
    assert [request.session for request in queue.unfinished(60)] == ["c", "d"]
    later = requests.time.time() + step
    monkeypatch.setattr(requests.time, "time", lambda: later)
    assert queue.unfinished(60) == []
    queue.latest("c")
    assert queue.unfinished(60) == []
    queue.latest("c", touch=True)
    assert [request.session for request in queue.unfinished(60)] == ["c"]


def test_sessions_not_seen_for_a_day_are_forgotten(queue, monkeypatch):
    asked(queue, "old")
    later = requests.time.time() + requests.FORGET_AFTER_S + 1
    monkeypatch.setattr(requests.time, "time", lambda: later)
    asked(queue, "new")
    assert queue.latest("old") is None
    assert queue.latest("new") is not None


def test_attempts_count_the_beginnings_of_one_block(queue):
    request = asked(queue)
    assert [queue.begin(request) for _ in range(3)] == [1, 2, 3]
    queue.note(request, "again")
    assert (queue.latest("me").attempts, queue.latest("me").message) == (3, "again")
    queue.answer(request, "running")
    assert (queue.latest("me").attempts, queue.latest("me").state, queue.latest("me").message) == (0, "running", "")
    assert queue.begin(request) == 1


def test_many_sessions_at_once_lose_nothing(queue, tmp_path):
    def visit(number: int) -> None:
        mine = RequestQueue(tmp_path)
        for head in range(10):
            mine.ask(f"session {number}", Target("s", ((number, head),), ("age",)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(8)))
    assert [request.target.heads for request in queue.unfinished(60)] == [((n, 9),) for n in range(8)]
