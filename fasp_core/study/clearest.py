"""Which measure sees the bias of an axis of a study most clearly: what is chosen by where none is named."""

from __future__ import annotations

from fasp_core.selection.clearest import clarity
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.folder import StudyFolder
from fasp_core.study.kept_scores import kept_scores
from fasp_core.study.scores import METRICS
from fasp_core.study.views import measured_axes


def clearest_metric_for(study: StudyFolder, axis: str) -> str:
    """The metric by which the bias of an axis is clearest, of equals the first; the study's first where none has it."""
    if axis == MEAN_TOXICITY:
        return "toxicity"
    by = [metric for metric in study.metrics if axis in measured_axes(study, metric)]
    if len(by) < 2:
        return next(iter(by or study.metrics), METRICS[0])
    return max(by, key=lambda metric: clarity(kept_scores(study, axis, metric=metric, compensate="none").verdict(axis)))
