"""Damaged and merely wrong files of a job: it is shown as damaged, and nothing fails."""

from __future__ import annotations

import json
import time
from datetime import datetime

import psutil
import pytest
from helpers.left_job import leave_job

from fasp_core.jobs.jobs import list_jobs, process_of, remove_job, start_job
from fasp_core.jobs.processes import identity

NONSENSE = [
    "",
    "{",
    "[" * 100_000,
    "[1]",
    "{}",
    "null",
    "5",
    '"\\ud800"',
    "\xff",
    "9" * 5000,
    '{"status": "x", "pid": -1}',
]


@pytest.mark.parametrize("text", NONSENSE)
@pytest.mark.parametrize("name", ["job.json", "process.json", "end.json"])
def test_a_damaged_file_makes_a_damaged_job(tmp_path, name, text):
    folder = leave_job(tmp_path, 0, status=0 if name == "job.json" else None)
    leave_job(tmp_path, 1, status=0)
    (folder / name).write_text(text, "latin-1")
    good, bad = list_jobs(tmp_path)
    assert (good.state, bad.state) == ("done", "damaged")
    assert "remove the job" in bad.message
    datetime.fromtimestamp(bad.created)
    remove_job(bad.id, tmp_path)
    assert [job.id for job in list_jobs(tmp_path)] == [good.id]


@pytest.mark.parametrize(
    "text", [*NONSENSE, '[{"stage": "x"}]', '[{"stage":"x","done":1,"total":1e999,"unit":"","elapsed_s":0}]']
)
def test_damaged_progress_is_no_progress(tmp_path, text):
    (leave_job(tmp_path, alive=True) / "progress.json").write_text(text, "latin-1")
    (job,) = list_jobs(tmp_path)
    assert (job.state, job.stages) == ("running", ())


@pytest.mark.parametrize(
    "change",
    [{"key": 5}, {"title": ["x"]}, {"command": "score"}, {"command": [1]}, {"created": 1e300}, {"created": "x"}],
)
def test_wrong_values_of_a_record_are_damage(tmp_path, change):
    folder = leave_job(tmp_path, status=1)
    record = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps(record | change))
    (job,) = list_jobs(tmp_path)
    assert (job.state, job.key, job.command) == ("damaged", "", ())


def test_a_job_at_work_with_a_damaged_record_can_be_stopped(tmp_path):
    folder = leave_job(tmp_path, alive=True)
    (folder / "job.json").write_text("{")
    (job,) = list_jobs(tmp_path)
    assert job.state == "running"
    assert process_of(folder).pid == psutil.Process().pid


@pytest.mark.parametrize("step", [-3600, 6, 3600])
def test_a_clock_that_is_set_loses_no_job(tmp_path, monkeypatch, step):
    """Where the system counts a process's start from its own, the time of day of that start steps with the clock."""
    leave_job(tmp_path, alive=True)
    now, made = time.time, psutil.Process.create_time
    monkeypatch.setattr(time, "time", lambda: now() + step)
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: made(process) + step)
    (job,) = list_jobs(tmp_path)
    assert job.state == "running"
    assert start_job(["score"], key="score s", title="again", root=tmp_path).id == job.id


def test_a_process_is_known_by_its_start_after_boot():
    me = psutil.Process()
    assert identity(me) == identity(psutil.Process(me.pid))
    assert identity(me) != identity(psutil.Process(1))
    with pytest.raises(psutil.NoSuchProcess):
        identity(_Gone())


class _Gone:
    """A process that has ended."""

    pid = 2**22 + 1

    def create_time(self):
        raise psutil.NoSuchProcess(self.pid)
