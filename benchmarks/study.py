"""Make the shipped study of the default model, or a second one with another seed to compare it with.

    python -m benchmarks.study                              # cache/default, resumes by itself; or: make study
    python -m benchmarks.study --seed 1                     # cache/seed-1; or: make study SEED=1

The steps stand in the order of their worth, so that a study that was stopped early is still a study. Stopped with
Ctrl-C it goes on where it was. All steps take about a day of one core.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field, replace

from fasp_core.models.open_model import open_model
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings
from fasp_core.toxicity.scorers import open_scorer

MOST_READS = 14_400  # of 1,440 prompts, each with 10 of the 117 blocks of stems
ALL_WINDOWS = 108  # of the valid text
GENDER, RACE = "gender_and_sex", "race_ethnicity"
OTHER_AXES = (RACE, "religion", "sexual_orientation", "nationality")
FIRST = Budget(samples=1_536, windows=ALL_WINDOWS, knockout_windows=4, likelihood_reads=1_440, likelihood_knockout=48)


@dataclass(frozen=True)
class Step:
    """One run: an axis by a metric, what of the budget differs from FIRST, and how heads are taken out."""

    axis: str
    metric: str
    more: dict[str, int] = field(default_factory=dict)
    compensated: bool = False
    scorer: str | None = None  # of toxicity; None: the study's own


STEPS = (
    Step(GENDER, "likelihood"),
    Step(GENDER, "toxicity"),
    Step(GENDER, "likelihood", compensated=True),
    *(Step(axis, "likelihood", {"likelihood_reads": 360}) for axis in OTHER_AXES),
    Step(GENDER, "likelihood", {"likelihood_reads": MOST_READS}),
    *(Step(axis, "toxicity", {"samples": 512}) for axis in OTHER_AXES),
    *(Step(axis, "likelihood", {"likelihood_reads": 1_440}) for axis in OTHER_AXES),
    Step(RACE, "likelihood", {"likelihood_reads": 1_440}, compensated=True),
    Step(GENDER, "toxicity", {"samples": 3_072}),
    Step(GENDER, "toxicity", {"samples": 3_072}, scorer="vader"),
    Step(GENDER, "toxicity", {"knockout_windows": ALL_WINDOWS}),
    *(Step(axis, "toxicity", {"samples": 6_016}) for axis in OTHER_AXES),
    Step(GENDER, "toxicity", {"samples": 20_096}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", help="of the study [default: default, or seed-N for another seed]")
    parser.add_argument("--root", default=None, help="folder of studies [default: the app's own]")
    asked = parser.parse_args()
    name = asked.name or (f"seed-{asked.seed}" if asked.seed else "default")
    lm, settings, started = open_model("default"), StudySettings(seed=asked.seed), time.monotonic()
    for step in STEPS:
        study = score_heads(
            lm,
            axes=[step.axis],
            metrics=[step.metric],
            budget=replace(FIRST, **step.more),
            compensated=step.compensated,
            scorer=open_scorer(step.scorer) if step.scorer else None,
            name=name,
            root=asked.root,
            settings=settings,
        )
        compensate = "least_squares" if step.compensated else "none"
        scores = study.scores(step.scorer, metric=step.metric, compensate=compensate)
        known, reliability = scores.intact[step.axis], scores.reliability(step.axis)
        print(
            f"{(time.monotonic() - started) / 60:7.1f} min  {step.axis} by {step.scorer or step.metric}"
            f"{', compensated' * step.compensated}: n {known.n_samples:,}, reliability "
            f"{None if reliability is None else round(reliability, 2)}, "
            f"bias {known.bias.value:.3f} ± {known.bias.se:.3f}, {known.verdict.state} (p {known.verdict.p_value:.4f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
