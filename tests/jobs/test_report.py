"""A job's own side: what it writes into its folder, and that its folder's loss never stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from fasp_core.files.run_log import FILE
from fasp_core.jobs import report
from fasp_core.jobs.processes import identity
from fasp_core.jobs.report import CANCELLED, END, JOB, PROCESS, PROGRESS, JobReport, current_job, study_of
from fasp_core.progress import Progress


@pytest.fixture
def made(tmp_path, monkeypatch):
    """The report of a job; this process keeps its own priority and its own way with signals."""
    monkeypatch.setattr(os, "nice", lambda by: by, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield JobReport(tmp_path)
    signal.signal(signal.SIGTERM, before)


def read(made, name):
    return json.loads((made.folder / name).read_text("utf-8"))


def test_it_says_which_process_runs_the_job(made):
    made.begin()
    me = psutil.Process()
    assert read(made, PROCESS) == {"pid": me.pid, "identity": identity(me)}
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def test_a_job_that_was_stopped_before_it_began_does_not_begin(made):
    (made.folder / CANCELLED).touch()
    with pytest.raises(KeyboardInterrupt):
        made.begin()


def test_the_newest_event_of_each_stage_is_kept_in_order(made, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(report.time, "monotonic", lambda: now[0])
    made.progress(Progress("texts", 1, 3, "texts", 0.5))
    made.progress(Progress("texts", 2, 3, "texts", 0.6))  # too soon after the first to be written
    assert [event["done"] for event in read(made, PROGRESS)] == [1]
    now[0] += 0.5
    made.progress(Progress("texts", 2, 3, "texts", 1.0))
    assert [event["done"] for event in read(made, PROGRESS)] == [2]
    made.progress(Progress("texts", 3, 3, "texts", 1.1))  # the end of a stage is written at once
    made.progress(Progress("heads", 0, 9, "heads", 0.0))
    made.end(0)
    assert [(event["stage"], event["done"]) for event in read(made, PROGRESS)] == [("texts", 3), ("heads", 0)]
    assert read(made, END)["status"] == 0
    assert sorted(os.listdir(made.folder)) == [END, PROGRESS]  # nothing half-written is left


def test_a_folder_that_was_removed_stops_nothing(tmp_path):
    made = JobReport(tmp_path / "gone")
    made.progress(Progress("texts", 3, 3, "texts", 1.1))
    made.end(0)
    assert not made.folder.exists()


@pytest.mark.parametrize(
    ("command", "study"),
    [
        (["score", "--axes=religion", "--name=mine", "--budget=quick", "--", "gpt2"], "mine"),
        (["score", "gpt2", "--name", "mine", "--axes", "religion"], "mine"),
        (["search", "--compensate", "--", "default"], "default"),
        (["verify", "--", "/somewhere/pruned"], ""),
        (["scorers", "get", "detoxify:unbiased"], ""),
        (["score", "--name=no name", "--", "gpt2"], ""),
        ([], ""),
    ],
)
def test_the_study_of_a_command(command, study):
    assert study_of(command) == study


def test_how_a_job_ends_is_in_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fasp", "compare", "--", "default"])
    for number, status in enumerate((0, 130, 1)):
        folder = tmp_path / ".jobs" / str(number)
        folder.mkdir(parents=True)
        JobReport(folder).end(status)
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text("utf-8").splitlines()]
    assert [(line["status"], line["level"]) for line in lines] == [(0, "info"), (130, "info"), (1, "error")]
    assert {(line["event"], line["study"]) for line in lines} == {("job ends", "default")}


def test_only_the_job_itself_is_the_job(tmp_path):
    """The variable is taken out of the environment, so that processes which a job starts do not report as it."""
    code = (
        "import os; from fasp_core.jobs.report import current_job;"
        "print(current_job().folder, current_job() is current_job(), 'FASP_JOB' in os.environ)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, JOB: str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == [str(tmp_path), "True", "False"]
    current_job.cache_clear()
    assert current_job() is None
