"""A scoring run for a process of its own, which `test_kill.py` kills.

It sends a word whenever something is about to begin or to be stored, so that the test can kill it at any moment.
"""

from __future__ import annotations

from multiprocessing.connection import Connection

import torch

from fasp_core.files import writing as files
from fasp_core.scoring import log_ratios, texts
from fasp_core.scoring.refine import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings
from helpers import tiny
from helpers.fake_cluster import FakeCluster

AXIS = "gender_and_sex"
BUDGET = Budget(samples=36, windows=12, knockout_windows=4, knockout_samples=12)
SETTINGS = StudySettings(
    max_new_tokens=4, window_tokens=24, samples_per_shard=6, windows_per_shard=4, knockout_samples_per_shard=3
)


def run(root: str, words: Connection, workers: int = 0) -> None:
    """Score the tiny model, announcing every batch, every write and every rename; with `workers`, those measure."""

    def announce(word: str, work):
        """`work`, with a word sent before each call."""

        def announced(*args, **kwargs):
            words.send(word)
            return work(*args, **kwargs)

        return announced

    log_ratios.gradient_log_ratios = announce("gradient", log_ratios.gradient_log_ratios)
    log_ratios.knockout_log_ratios = announce("knockout", log_ratios.knockout_log_ratios)
    texts.sample_continuations = announce("sample", texts.sample_continuations)
    files.os.fsync = announce("fsync", files.os.fsync)
    files.os.replace = announce("rename", files.os.replace)
    torch.set_num_threads(1)  # as the tests do
    lm = tiny.make_language_model(tiny.LLAMA)
    cluster = FakeCluster(lm, workers) if workers else None
    score_heads(lm, axes=[AXIS], budget=BUDGET, settings=SETTINGS, name="s", root=root, cluster=cluster)
