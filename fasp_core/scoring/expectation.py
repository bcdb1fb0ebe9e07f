"""What further measuring is expected to bring, told before it starts: reliability by time, and time by reliability.

By the Spearman–Brown prophecy, from what a study holds. By likelihood there is an end: every prompt read with every
stem. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from fasp_core.data.pairs import load_pairs
from fasp_core.stats.prophecy import expected_reliability, times_needed
from fasp_core.study.study import Study
from fasp_core.study.views import axis_groups, measured_axes, study_pairs
from fasp_core.words.expectations import expected_after, expected_time


@dataclass(frozen=True)
class Expectation:
    """The order of the unprotected heads on one axis by one metric, as it is, and what more of the same would make it.

    `reliability` of `n` texts or readings; `most` of them can be had (infinite for texts); one takes `seconds`.
    """

    axis: str
    metric: str
    reliability: float
    n: int
    most: float
    seconds: float

    def after(self, seconds: float) -> float:
        """The reliability after measuring for so many seconds more."""
        return self._by(min(self.n + seconds / self.seconds, self.most))

    @property
    def highest(self) -> float:
        """The reliability once all that can be had is measured; 1 where there is no end, and anything to rank."""
        return self._by(self.most) if math.isfinite(self.most) else float(self.reliability > 0)

    def seconds_to(self, aim: float) -> float:
        """How long it takes to reach a reliability; infinite where that is not to be expected."""
        needed = self.n * times_needed(self.reliability, aim)
        return math.inf if needed > self.most else max(0.0, needed - self.n) * self.seconds

    def _by(self, n: float) -> float:
        return expected_reliability(self.reliability, n / self.n)


def expectations(study: Study, axes: Iterable[str], seconds: dict[str, float]) -> list[Expectation]:
    """What is expected of each axis by each metric of `seconds`, the time that one text or reading takes.

    Of those that the study has scores of; the others are not known before the first measurements.
    """
    found = []
    for metric, of_one in seconds.items():
        known = [axis for axis in axes if metric in study.metrics and axis in measured_axes(study, metric)]
        intact = study.scores(metric=metric).intact if known else {}
        for axis in known:
            reliability, n = intact[axis].reliability, intact[axis].n_samples
            if reliability is not None and n:
                most = math.inf if metric == "toxicity" else _readings(study, axis)
                found.append(Expectation(axis, metric, reliability, n, most, of_one))
    return found


def expected_sentences(
    study: Study, axes: Iterable[str], seconds: dict[str, float], *, minutes: float | None, aim: float | None
) -> list[str]:
    """What is expected of `minutes` more, or for a reliability to `aim` at; the time is shared by axes and metrics."""
    found, told = expectations(study, axes, seconds), []
    for each in found:
        known = (each.axis, each.metric, each.reliability, each.n)
        if aim is None:
            of_this = 60 * (minutes or 0.0) / len(found)
            told.append(expected_after(*known, seconds=of_this, expected=each.after(of_this)))
        else:
            told.append(expected_time(*known, aim=aim, seconds=each.seconds_to(aim), highest=each.highest))
    return told


def _readings(study: Study, axis: str) -> float:
    """Every prompt of an axis with every block of stems."""
    return float(len(axis_groups(study, axis).prompts) * (study_pairs(study) or load_pairs()).n_blocks)
