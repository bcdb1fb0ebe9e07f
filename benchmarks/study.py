"""Make the shipped study of the default model, or a second one with another seed to compare it with.

    python -m benchmarks.study                              # cache/default, resumes by itself; or: make study
    python -m benchmarks.study --seed 1                     # cache/seed-1; or: make study SEED=1

The steps stand in the order of their worth, so that a study that was stopped early is still a study. Stopped with
Ctrl-C it goes on where it was. On 2 quiet cores all steps take more than eight hours.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from fasp_core.models.open_model import open_model
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings

MOST_READS = 14_400  # of 1,440 prompts, each with 10 of the 117 blocks of stems
ALL_WINDOWS = 108  # of the valid text
OTHER_AXES = ("race_ethnicity", "religion", "sexual_orientation", "nationality")
FIRST = Budget(samples=1_536, windows=ALL_WINDOWS, knockout_windows=4, likelihood_reads=1_440, likelihood_knockout=48)
# (axis, metric, what differs from FIRST, whether also under compensation)
STEPS = (
    ("gender_and_sex", "likelihood", {}, False),
    ("gender_and_sex", "toxicity", {}, False),
    ("gender_and_sex", "likelihood", {}, True),
    *((axis, "likelihood", {"likelihood_reads": 360}, False) for axis in OTHER_AXES),
    ("gender_and_sex", "likelihood", {"likelihood_reads": MOST_READS}, False),
    *((axis, "toxicity", {"samples": 512}, False) for axis in OTHER_AXES),
    *((axis, "likelihood", {"likelihood_reads": 1_440}, False) for axis in OTHER_AXES),
    ("gender_and_sex", "toxicity", {"knockout_windows": ALL_WINDOWS}, False),
    *((axis, "toxicity", {"samples": 6_016}, False) for axis in OTHER_AXES),
    ("gender_and_sex", "toxicity", {"samples": 20_096}, False),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", help="of the study [default: default, or seed-N for another seed]")
    parser.add_argument("--root", default=None, help="folder of studies [default: the app's own]")
    asked = parser.parse_args()
    name = asked.name or (f"seed-{asked.seed}" if asked.seed else "default")
    lm, settings, started = open_model("default"), StudySettings(seed=asked.seed), time.monotonic()
    for axis, metric, more, compensated in STEPS:
        budget = replace(FIRST, **more)
        where = {"name": name, "root": asked.root, "settings": settings}
        study = score_heads(lm, axes=[axis], metrics=[metric], budget=budget, compensated=compensated, **where)
        known = study.scores(metric=metric, compensate="least_squares" if compensated else "none").intact[axis]
        print(
            f"{(time.monotonic() - started) / 60:7.1f} min  {axis} by {metric}"
            f"{', compensated' * compensated}: n {known.n_samples:,}, reliability "
            f"{known.reliability if known.reliability is None else round(known.reliability, 2)}, "
            f"bias {known.bias.value:.3f} ± {known.bias.se:.3f}, {known.verdict.state} (p {known.verdict.p_value:.4f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
