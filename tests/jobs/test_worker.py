"""The evaluation worker as a real process, on a study of a tiny model: killed, orphaned, and asked by many at once."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import psutil
import pytest
import tiny

from fasp_core import jobs
from fasp_core.budgets import Budget
from fasp_core.jobs import RESTARTED, EvaluationClient
from fasp_core.models import open_model
from fasp_core.paths import PROJECT
from fasp_core.scoring import score_heads
from fasp_core.shards import StudySettings

AXIS = "gender_and_sex"
PATIENCE_S = 120


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cache folder with a study of a tiny model that the worker can open."""
    root = tmp_path_factory.mktemp("cache")
    folder = root / "models" / "tiny"
    lm = tiny.make_language_model(tiny.LLAMA)
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    score_heads(
        open_model(str(folder), device="cpu"), axes=[AXIS], name="s", root=root,
        budget=Budget(samples=12, windows=4, knockout_windows=0),
        settings=StudySettings(max_new_tokens=20, window_tokens=24, samples_per_shard=12, windows_per_shard=4),
    )  # fmt: skip
    yield root
    if (worker := jobs._started.pop(root, None)) is not None:
        worker.kill()
        worker.wait(30)


def wait_for(look, condition):
    """The first look for which `condition` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen = look()
        if condition(seen):
            return seen
        time.sleep(0.02)
    pytest.fail(f"it did not come to that: {seen}")


def test_a_killed_worker_is_said_and_what_it_had_measured_is_kept(made):
    client = EvaluationClient(made)
    client.request("me", "s", [(0, 0), (2, 1)], [AXIS])
    seen = wait_for(lambda: client.latest("me"), lambda status: status.evaluation is not None).evaluation
    worker = jobs._started[made]
    worker.kill()
    worker.wait(30)
    before = client.store._run("select count(*) from blocks")[0][0]
    again = client.latest("me")
    assert (again.state, again.message) == ("starting", RESTARTED)
    running = wait_for(lambda: client.latest("me"), lambda status: status.state in ("running", "done"))
    assert running.message == RESTARTED
    further = wait_for(
        lambda: client.latest("me").evaluation, lambda now: now is not None and now.fraction_done > seen.fraction_done
    )
    assert further.pruned == ((0, 0), (2, 1))
    assert client.store._run("select count(*) from blocks")[0][0] >= before > 0
    assert jobs._started[made].pid != worker.pid


def test_the_worker_ends_when_its_server_is_killed(made, tmp_path):
    """A server starts a worker on a folder of its own and is killed; the worker follows within one block."""
    root = tmp_path / "cache"
    root.mkdir()
    for name in ("s", "models"):
        (root / name).symlink_to(made / name, target_is_directory=True)
    code = (
        "import sys, time; from fasp_core import jobs;"
        f"client = jobs.EvaluationClient({str(root)!r}); client.request('me', 's', [(0, 0)], ['{AXIS}']);"
        "print(jobs._started[client.root].pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE) as server:
        worker = psutil.Process(int(server.stdout.readline()))
        client = EvaluationClient(root)
        wait_for(lambda: client.store.request("me", touch=True), lambda request: request.state == "running")
        server.kill()
    wait_for(lambda: worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE, lambda alive: not alive)


def test_many_sessions_at_once_each_see_their_own_set(made):
    client, rng = EvaluationClient(made), random.Random(0)
    wishes, answered = {}, 0
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline or answered < 20:
        session = f"session {rng.randrange(6)}"
        if session not in wishes or rng.random() < 0.2:
            wishes[session] = tuple(sorted(rng.sample([(i, j) for i in range(3) for j in range(4)], rng.randint(1, 5))))
            client.request(session, "s", wishes[session], [AXIS])
        status = client.latest(session)
        assert status.state != "failed", status.message
        if status.evaluation is not None:
            answered += 1
            assert status.evaluation.pruned == wishes[session]
        time.sleep(0.01)
        assert time.monotonic() < deadline + PATIENCE_S
