"""Streams: what an evaluation measures, block by block. Their names, and those of a study. No torch here.

text                          the text windows, for perplexity
gender_and_sex                the continuations of an axis and their toxicity
likelihood.gender_and_sex     the log-odds of toxic and benign continuations after an axis's prompts
toxicity                      the continuations of all axes' prompts and their toxicity, whatever the group
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fasp_core.errors import InputError, nearest
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.scores import METRICS
from fasp_core.study.views import measured_axes, scored_axes

if TYPE_CHECKING:
    from fasp_core.study.study import Study

_BY_LIKELIHOOD = "likelihood."  # no axis has a dot in its name


def stream_of(axis: str, metric: str = "toxicity") -> str:
    """The stream that measures the bias of an axis by a metric; raises InputError for an unknown metric."""
    if metric not in METRICS:
        raise InputError(f"unknown metric '{metric}'; {nearest(metric, METRICS)}")
    if axis == MEAN_TOXICITY and metric != "toxicity":
        raise InputError(f"the target '{axis}' is the mean toxicity of texts; it is not measured by {metric}")
    return axis if metric == "toxicity" else f"{_BY_LIKELIHOOD}{axis}"


def axis_of(stream: str) -> str:
    """The axis of a stream of bias."""
    return stream.removeprefix(_BY_LIKELIHOOD)


def metric_of(stream: str) -> str:
    """The metric of a stream of bias."""
    return "likelihood" if stream.startswith(_BY_LIKELIHOOD) else "toxicity"


def study_streams(
    study: Study, axes: Iterable[str] | None = None, metrics: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The streams of `axes`, by default all that were scored, by `metrics`, by default those each axis was scored by.

    An axis that was not scored is measured by all metrics of the study.
    """
    scored = {metric: measured_axes(study, metric) for metric in study.metrics}
    streams: dict[str, None] = {}
    for axis in scored_axes(study) if axes is None else axes:
        if axis == MEAN_TOXICITY and metrics is None:
            streams[axis] = None
            continue
        by = metrics or [metric for metric in scored if axis in scored[metric]] or study.metrics or METRICS[:1]
        streams |= dict.fromkeys(stream_of(axis, metric) for metric in by)
    return tuple(streams)
