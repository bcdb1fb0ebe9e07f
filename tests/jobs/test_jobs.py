"""Jobs are processes of their own: real ones are started, killed and cancelled here, on a study of a tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from helpers import tiny

from fasp_core.errors import InputError
from fasp_core.files.paths import PROJECT
from fasp_core.jobs import jobs as background
from fasp_core.jobs.jobs import cancel_job, list_jobs, remove_job, start_job
from fasp_core.jobs.processes import identity
from fasp_core.study.study import open_study

AXIS = "gender_and_sex"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A tiny model on disk, for jobs to open."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    lm = tiny.make_language_model(tiny.LLAMA)
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def root(tmp_path):
    """A cache folder; whatever job is left at the end of a test is killed."""
    yield tmp_path
    for job in list_jobs(tmp_path):
        process = background.process_of(job.folder)
        if process is not None:
            process.kill()
    for job_id in list(background._children):
        background._children.pop(job_id).wait(30)


def until(condition, root, job_id=None, seconds=90):
    """The job once `condition` holds for it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        jobs = [job for job in list_jobs(root) if job_id in (None, job.id)]
        if jobs and condition(jobs[0]):
            return jobs[0]
        time.sleep(0.05)
    pytest.fail(f"it did not come to that: {jobs}\n{jobs[0].log() if jobs else ''}")


def score(model_folder, root, **more):
    """Scoring that takes long enough to be stopped on the way."""
    command = ["score", str(model_folder), "--axes", AXIS, "--name", "s", "--minutes", "5", "--device", "cpu"]
    return start_job(command, key="score s", title="Score s", root=root, **more)


def shards(root):
    return dict.fromkeys(open_study("s", root).manifest.shards)


def test_a_job_tells_its_progress_and_its_end(root):
    job = start_job(["studies"], key="list", title="List the studies", root=root)
    assert (job.state, job.key, job.title, job.command) == ("running", "list", "List the studies", ("studies",))
    done = until(lambda job: not job.live, root)
    assert done.state == "done"
    assert "There is no study yet" in done.log()
    remove_job(job.id, root)
    assert list_jobs(root) == []


def test_a_failed_job_says_why_in_one_line(root):
    start_job(["score", "./nowhere", "--axes", AXIS], key="k", title="t", root=root)
    failed = until(lambda job: not job.live, root)
    assert failed.state == "failed"
    assert failed.message.startswith("there is no file or folder ./nowhere")


def test_a_job_is_never_doubled_stops_when_asked_and_goes_on(model_folder, root):
    job = score(model_folder, root)
    assert score(model_folder, root).id == job.id
    running = until(lambda job: job.progress is not None and len(job.stages) > 1, root)
    assert running.progress.total > 0
    with pytest.raises(InputError, match="still running"):
        remove_job(job.id, root)
    cancel_job(job.id, root)
    stopped = until(lambda job: not job.live, root)
    assert stopped.state == "cancelled"
    assert "finished work is kept" in stopped.message
    before = shards(root)
    again = score(model_folder, root)
    assert again.id != job.id
    until(lambda job: len(job.stages) > 1, root, again.id)
    assert before.keys() <= shards(root).keys()


def test_a_killed_job_is_lost_and_its_work_kept(model_folder, root):
    job = score(model_folder, root)
    until(lambda job: len(job.stages) > 1, root)
    before = shards(root)
    os.kill(background.process_of(job.folder).pid, signal.SIGKILL)
    lost = until(lambda job: not job.live, root)
    assert lost.state == "lost"
    assert "finished work is kept" in lost.message
    assert before.keys() <= shards(root).keys()


def test_a_job_that_does_not_stop_is_killed(root, monkeypatch):
    """A stopped (SIGSTOP) process answers no SIGTERM."""
    monkeypatch.setattr(background, "GRACE_S", 0.2)
    job = start_job(["score", "default", "--axes", AXIS], key="k", title="t", root=root)
    process = psutil.Process(background._children[job.id].pid)
    process.suspend()
    cancel_job(job.id, root)
    assert until(lambda job: not job.live, root).state == "cancelled"
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_job_outlives_the_server_that_started_it(model_folder, root):
    """A process starts the job and is killed; another one, this, finds it running and stops it."""
    code = (
        "import sys, time; from fasp_core.jobs.jobs import start_job;"
        f"start_job(['score', {str(model_folder)!r}, '--axes', '{AXIS}', '--name', 's', '--minutes', '5'],"
        f"key='score s', title='t', root={str(root)!r}); print('started', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE) as server:
        server.stdout.readline()
        server.kill()
    job = until(lambda job: len(job.stages) > 1, root)
    assert job.state == "running"
    process = background.process_of(job.folder)
    cancel_job(job.id, root)
    assert until(lambda job: not job.live, root).state == "cancelled"
    process.wait(30)


def test_another_process_with_the_same_number_is_not_the_job(root):
    job = start_job(["studies"], key="k", title="t", root=root)
    until(lambda job: not job.live, root)
    me = psutil.Process()
    (job.folder / "end.json").unlink()
    (job.folder / "process.json").write_text(json.dumps({"pid": me.pid, "identity": f"{identity(me)}0"}))
    assert list_jobs(root)[0].state == "lost"


@pytest.mark.parametrize("job_id", ["../models", "20260101-000000-00000000"])
def test_only_jobs_can_be_removed(job_id, root):
    with pytest.raises(InputError, match="no job"):
        remove_job(job_id, root)
