"""Killed with SIGKILL at random moments and resumed, a study is bit for bit that of an uninterrupted run."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import sys
from types import ModuleType

import pytest
from helpers.killed_run import AXIS, BUDGET, SETTINGS, run

from fasp_core.files.paths import PROJECT
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.study import open_study

KILLS = 20
DRIVER_KILLS = 8


@pytest.fixture(scope="module")
def processes():
    """Starts processes from one that has imported everything: each runs at once, alone, with nothing of this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([run.__module__, "profanity_check"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # else the processes begin by running its file
        patch.setenv("PYTHONPATH", os.pathsep.join([str(PROJECT), str(PROJECT / "tests")]))
        yield context


def run_until(processes, root, moments, workers=0):
    """Start a run; after `moments` announced moments (None: never) kill it. Whether it was killed."""
    words, its_words = processes.Pipe(duplex=False)
    process = processes.Process(target=run, args=(str(root), its_words, workers))
    process.start()
    its_words.close()
    seen = 0
    try:
        while True:
            words.recv()
            if (seen := seen + 1) == moments:
                process.kill()
    except EOFError:
        process.join()
    return process.exitcode != 0


def shards(root):
    study = open_study("s", root)
    return {
        name: (hashlib.sha256((study.folder / name).read_bytes()).hexdigest(), (study.folder / name).stat().st_mtime_ns)
        for name in study.manifest.shards
    }


@pytest.mark.parametrize(("workers", "kills_in_all"), [(0, KILLS), (2, DRIVER_KILLS)])
def test_kills_leave_no_trace(tiny_llama, processes, tmp_path, workers, kills_in_all):
    """A run, and the driver of one whose shards are measured by workers."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    score_heads(tiny_llama, axes=[AXIS], budget=BUDGET, settings=SETTINGS, name="s", root=whole)
    expected = {name: digest for name, (digest, _) in shards(whole).items()}
    moments = random.Random(0)
    done, kills = {}, 0
    for _ in range(kills_in_all):
        kills += run_until(processes, broken, moments.randint(1, 14), workers)
        if not (broken / "s" / "manifest.json").exists():
            continue  # killed while the study was being founded
        now = shards(broken)
        assert done.items() <= now.items()  # no finished shard was touched again
        assert {name: digest for name, (digest, _) in now.items()}.items() <= expected.items()
        done = now
    assert not run_until(processes, broken, None, workers)
    assert done.items() <= shards(broken).items()
    assert {name: digest for name, (digest, _) in shards(broken).items()} == expected
    frames = [open_study("s", root).scores().frame for root in (whole, broken)]
    assert frames[0].equals(frames[1])
    if kills < kills_in_all:
        pytest.fail(f"only {kills} of {kills_in_all} runs were killed: the others were done before")
