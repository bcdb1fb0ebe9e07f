"""What several measures say of the same pruned sets, side by side, to see whether they agree. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fasp_core.evaluation.history import MeasuredSet
from fasp_core.evaluation.scorecard_result import CHECKPOINT, evaluation_rows, kept_scorecard
from fasp_core.evaluation.scorecard_row import Row
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.selection.head_measures import Measures
from fasp_core.study.study import Study


def set_measures(study: Study, found: Sequence[MeasuredSet], axis: str) -> Measures:
    """How much worse each measure of a scorecard found each set: of `axis`, and those that are of no axis.

    The sets are of one split. What was not measured of a set is NaN; measures without a bad direction are left out.
    """
    store = EvaluationStore(study.folder.parent)
    by_set = [
        {_name(row): harm.value for row in _rows(study, one, store) if _of(row, axis) and (harm := row.compared.harm)}
        for one in found
    ]
    names = tuple(dict.fromkeys(name for harms in by_set for name in harms))
    values = np.array([[harms.get(name, np.nan) for name in names] for harms in by_set]).reshape(
        len(by_set), len(names)
    )
    return Measures(names, values, (None,) * len(names))


def _rows(study: Study, one: MeasuredSet, store: EvaluationStore) -> Sequence[Row]:
    target = one.target
    card = kept_scorecard(
        study,
        target.heads,
        split=target.split,
        store=store,
        evaluation=one.evaluation,
        compensate=target.compensate,
    )
    return evaluation_rows(one.evaluation) if card is None else card.rows


def _of(row: Row, axis: str) -> bool:
    return row.axis in (None, axis) and row.source != CHECKPOINT


def _name(row: Row) -> str:
    return f"bias by {'likelihood' if row.unit == 'nats' else row.source}" if row.measure == "bias" else row.measure
