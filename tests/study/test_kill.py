"""Killed with SIGKILL at 20 random moments and resumed, a study is bit for bit that of an uninterrupted run."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys

import pytest
from killed_run import AXIS, BUDGET, SETTINGS

from fasp_core.paths import PROJECT
from fasp_core.scoring import score_heads
from fasp_core.study import open_study

KILLS = 20


def run_until(root, moments):
    """Start a run; after `moments` announced moments (None: never) kill it. Whether it was killed."""
    command = [sys.executable, str(PROJECT / "tests" / "killed_run.py"), str(root)]
    paths = {"PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(command, env={**os.environ, **paths}, stdout=subprocess.PIPE, text=True) as process:
        for seen, _ in enumerate(process.stdout, start=1):
            if seen == moments:
                process.kill()
                break
        process.wait()
    return process.returncode != 0


def shards(root):
    study = open_study("s", root)
    return {
        name: (hashlib.sha256((study.folder / name).read_bytes()).hexdigest(), (study.folder / name).stat().st_mtime_ns)
        for name in study.manifest.shards
    }


def test_twenty_kills_leave_no_trace(tiny_llama, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    score_heads(tiny_llama, axes=[AXIS], budget=BUDGET, settings=SETTINGS, name="s", root=whole)
    expected = {name: digest for name, (digest, _) in shards(whole).items()}
    moments = random.Random(0)
    done, kills = {}, 0
    for _ in range(KILLS):
        kills += run_until(broken, moments.randint(1, 14))
        if not (broken / "s" / "manifest.json").exists():
            continue  # killed while the study was being founded
        now = shards(broken)
        assert done.items() <= now.items()  # no finished shard was touched again
        assert {name: digest for name, (digest, _) in now.items()}.items() <= expected.items()
        done = now
    assert not run_until(broken, None)
    assert done.items() <= shards(broken).items()
    assert {name: digest for name, (digest, _) in shards(broken).items()} == expected
    frames = [open_study("s", root).scores().frame for root in (whole, broken)]
    assert frames[0].equals(frames[1])
    if kills < KILLS:
        pytest.fail(f"only {kills} of {KILLS} runs were killed: the others were done before")
