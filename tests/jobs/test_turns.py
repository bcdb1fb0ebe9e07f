"""One job at a time measures on a device; the others wait, in the order in which they were started."""

from __future__ import annotations

import pytest
from filelock import FileLock
from helpers.left_job import leave_job

from fasp_core.jobs import turns
from fasp_core.jobs.jobs import list_jobs
from fasp_core.jobs.turns import device_of, place_in_queue, wait_for_turn


@pytest.fixture
def looks(monkeypatch):
    """What happens each time that a waiting job looks again; ends the wait by KeyboardInterrupt when it is used up."""
    happenings = []

    def look(_):
        if not happenings:
            raise KeyboardInterrupt
        happenings.pop(0)()

    monkeypatch.setattr(turns.time, "sleep", look)
    yield happenings
    while turns._held:
        turns._held.pop().release()


@pytest.mark.parametrize(
    ("command", "device"),
    [
        (["score", "--", "default"], "auto"),
        (["score", "--device", "cuda:1", "--", "x"], "cuda-1"),
        (["compare", "s", "--device=cpu"], "cpu"),
        (["score", "--", "--device=cpu"], "auto"),
        (["score", "--device=../../x"], "------x"),
        (["export", "s"], None),
        ([], None),
    ],
)
def test_the_device_is_as_the_command_names_it(command, device):
    assert device_of(command) == device


def test_a_job_waits_for_the_one_that_measures(tmp_path, looks):
    at_work = FileLock(tmp_path / ".jobs" / ".device-auto.lock")
    folder = leave_job(tmp_path, 1, alive=True)
    at_work.acquire()
    seen = []
    looks += [lambda: seen.append([job.state for job in list_jobs(tmp_path)]), at_work.release]
    wait_for_turn(folder)
    assert seen == [["queued"]]
    assert [job.state for job in list_jobs(tmp_path)] == ["running"]
    assert list_jobs(tmp_path)[0].live


def test_a_job_waits_for_those_that_wait_longer(tmp_path, looks):
    first, second, third = (leave_job(tmp_path, number, alive=True, key=f"score {number}") for number in (1, 2, 3))
    (first / "waiting").touch()
    (second / "waiting").touch()
    looks.append((first / "waiting").unlink)
    with pytest.raises(KeyboardInterrupt):
        wait_for_turn(third)
    jobs = list_jobs(tmp_path)
    assert [job.state for job in jobs] == ["queued", "queued", "running"]
    assert [place_in_queue(job, jobs) for job in jobs[:2]] == [2, 1]
    wait_for_turn(second)
    assert [job.state for job in list_jobs(tmp_path)] == ["queued", "running", "running"]


def test_other_devices_and_other_commands_do_not_wait(tmp_path, looks):
    (leave_job(tmp_path, 1, alive=True) / "waiting").touch()
    wait_for_turn(leave_job(tmp_path, 2, command=["export", "s"], alive=True))
    wait_for_turn(leave_job(tmp_path, 3, command=["score", "--device=cuda:1"], alive=True))
    assert [job.state for job in list_jobs(tmp_path)] == ["running", "running", "queued"]


def test_a_job_that_was_killed_while_it_waited_holds_nobody_up(tmp_path, looks):
    (leave_job(tmp_path, 1) / "waiting").touch()
    wait_for_turn(leave_job(tmp_path, 2, alive=True))
    assert [job.state for job in list_jobs(tmp_path)] == ["running", "lost"]
