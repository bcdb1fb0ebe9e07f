"""How far the two measures of bias agree, on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fasp_core.selection.agreement import Agreement
    from fasp_core.selection.head_scores import HeadScores
    from fasp_core.study.study import Study


def study_agreement(
    study: Study | None, axis: str, shown: HeadScores, *, gamma: float = 0.3, alpha: float = 0.1
) -> Agreement | None:
    """How far the scores shown agree with those by the other measure; None where a study does not have both."""
    from fasp_core.selection.agreement import metric_agreement
    from fasp_core.study.kept_scores import kept_scores

    if study is None or len(study.metrics) < 2:
        return None
    tables = [
        shown if metric == shown.meta.metric else kept_scores(study, None, metric=metric, compensate="none")
        for metric in study.metrics
    ]
    if not all(axis in table.axes for table in tables):
        return None
    return metric_agreement(*tables, axis=axis, gamma=gamma, alpha=alpha)


def print_agreement(agreement: Agreement | None) -> None:
    """One line, where there is an agreement to tell of."""
    from fasp_core.words.captions import describe_agreement

    if agreement is not None:
        print(f"agreement (gamma {agreement.gamma:g}, alpha {agreement.alpha:g}): {describe_agreement(agreement)}")
