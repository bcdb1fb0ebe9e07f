"""The evaluation worker as a real process, on a study of a tiny model: killed, orphaned, and asked by many at once."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time

import psutil
import pytest
from helpers import tiny

from fasp_core.evaluation.database import Database
from fasp_core.evaluation.history import MeasuredSet, measured_set
from fasp_core.evaluation.keys import Target
from fasp_core.files.paths import PROJECT
from fasp_core.files.run_log import FILE
from fasp_core.head import all_heads
from fasp_core.jobs import client as jobs
from fasp_core.jobs.client import RESTARTED, EvaluationClient
from fasp_core.models.open_model import open_model
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings
from fasp_core.study.study import open_study

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
        open_model(str(folder), device="cpu"),
        axes=[AXIS],
        name="s",
        root=root,
        budget=Budget(samples=12, windows=4, knockout_windows=0),
        settings=StudySettings(max_new_tokens=20, window_tokens=24, samples_per_shard=12, windows_per_shard=4),
    )
    yield root
    if (worker := jobs._started.pop(root, None)) is not None:
        worker.kill()
        worker.wait(30)


def count_blocks(root):
    return Database(root).read("select count(*) from blocks")[0][0]


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
    target, study = Target("s", ((0, 0), (2, 1)), (AXIS,)), open_study("s", made)
    client.request("me", target)

    def look() -> MeasuredSet | None:
        running = client.latest("me").state != "starting"  # a block is kept a moment before that is said
        return measured_set(study, target) if running else None

    seen = wait_for(look, lambda found: found is not None).evaluation
    worker = jobs._started[made]
    worker.kill()
    worker.wait(30)
    before = count_blocks(made)
    again = client.latest("me")
    assert (again.state, again.message) == ("starting", RESTARTED)
    running = wait_for(lambda: client.latest("me"), lambda status: status.state in ("running", "done"))
    assert running.message == RESTARTED
    further = wait_for(look, lambda found: found.evaluation.fraction_done > seen.fraction_done)
    assert further.evaluation.pruned == target.heads
    assert count_blocks(made) >= before > 0
    assert jobs._started[made].pid != worker.pid


def test_what_it_measured_is_in_the_log(made):
    """In the session of the test before and of its heads, some of which is measured: nobody else takes turns."""
    client = EvaluationClient(made)
    client.request("me", Target("s", ((0, 0), (2, 1)), (AXIS,)))
    wait_for(lambda: client.latest("me"), lambda status: status.state == "done")
    lines = [json.loads(line) for line in (made / FILE).read_text("utf-8").splitlines()]
    ended = [line for line in lines if line["event"] == "evaluation ends"]
    assert {"evaluation asked", "worker begins"} <= {line["event"] for line in lines}
    assert ended
    assert all((line["level"], line["study"]) == ("info", "s") and line["seconds"] >= 0 for line in ended)


def test_a_worker_killed_in_its_first_block_is_said_too(tmp_path, monkeypatch):
    """The request is still "queued" then: the block's end was never said."""
    monkeypatch.setattr(EvaluationClient, "_ensure_worker", lambda self: True)
    client = EvaluationClient(tmp_path)
    client.request("me", Target("s", ((0, 0),), (AXIS,)))
    assert client.latest("me").message == ""
    client.queue.begin(client.queue.latest("me"))
    assert client.latest("me").message == RESTARTED


def test_of_two_servers_on_one_folder_one_is_killed_and_the_other_goes_on(made, tmp_path):
    """One has started the worker, which serves both and follows it within one block; the other, this process, starts
    a worker of its own then."""
    root = tmp_path / "cache"
    root.mkdir()
    for name in ("s", "models"):
        (root / name).symlink_to(made / name, target_is_directory=True)
    code = (
        "import time; from fasp_core.evaluation.keys import Target; from fasp_core.jobs import client as jobs;"
        f"client = jobs.EvaluationClient({str(root)!r}); client.request('me', Target('s', ((0, 0),), ('{AXIS}',)));"
        "print(jobs._started[client.root].pid, flush=True); time.sleep(600)"
    )
    client, target = EvaluationClient(root), Target("s", ((1, 1),), (AXIS,))
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE) as server:
        worker = psutil.Process(int(server.stdout.readline()))
        wait_for(lambda: client.queue.latest("me", touch=True), lambda request: request.state in ("running", "done"))
        client.request("you", target)
        wait_for(lambda: client.latest("you"), lambda status: status.state in ("running", "done"))
        assert root not in jobs._started
        before = count_blocks(root)
        server.kill()
    wait_for(lambda: worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE, lambda alive: not alive)
    client.request("you", Target("s", ((2, 2),), (AXIS,)))
    wait_for(lambda: client.latest("you"), lambda status: status.state in ("running", "done"))
    assert count_blocks(root) > before > 0
    jobs._started[root].kill()
    jobs._started.pop(root).wait(30)


def test_many_sessions_at_once_are_all_answered(made):
    client, rng, study = EvaluationClient(made), random.Random(0), open_study("s", made)
    asked, answered = {}, 0
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline or answered < 20:
        session = f"session {rng.randrange(6)}"
        if session not in asked or rng.random() < 0.2:
            heads = rng.sample(all_heads(3, 4), rng.randint(1, 5))
            asked[session] = Target("s", tuple(heads), (AXIS,))
            client.request(session, asked[session])
        status, found = client.latest(session), measured_set(study, asked[session])
        assert status.state != "failed", status.message
        if status.state in ("running", "done"):  # said only after a block, which is kept first
            assert found is not None
            assert found.evaluation.pruned == asked[session].heads
            answered += 1
        time.sleep(0.01)
        assert time.monotonic() < deadline + PATIENCE_S
