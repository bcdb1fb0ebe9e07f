"""A scoring run in a process of its own, for `test_kill.py`: `python tests/killed_run.py FOLDER`.

Prints a line whenever something was begun or stored, so that the test can kill it at any of those moments.
"""

from __future__ import annotations

import sys

import tiny
import torch

from fasp_core import files, measure
from fasp_core.refine import Budget
from fasp_core.scoring import score_heads
from fasp_core.shards import StudySettings

AXIS = "gender_and_sex"
BUDGET = Budget(samples=36, windows=12, knockout_windows=4, knockout_samples=12)
SETTINGS = StudySettings(
    max_new_tokens=4, window_tokens=24, samples_per_shard=6, windows_per_shard=4, knockout_samples_per_shard=3
)


def announce(word: str, work):
    """`work`, with a line printed before each call."""

    def announced(*args, **kwargs):
        print(word, flush=True)
        return work(*args, **kwargs)

    return announced


def main(root: str) -> None:
    """Score the tiny model, announcing every batch, every write and every rename."""
    measure.gradient_log_ratios = announce("gradient", measure.gradient_log_ratios)
    measure.knockout_log_ratios = announce("knockout", measure.knockout_log_ratios)
    measure.sample_continuations = announce("sample", measure.sample_continuations)
    files.os.fsync = announce("fsync", files.os.fsync)
    files.os.replace = announce("rename", files.os.replace)
    torch.set_num_threads(1)  # as the tests do
    score_heads(
        tiny.make_language_model(tiny.LLAMA), axes=[AXIS], budget=BUDGET, settings=SETTINGS, name="s", root=root
    )


if __name__ == "__main__":
    main(sys.argv[1])
