"""Whether several measures of one axis agree: over the heads of a study, and over the sets that were measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from fasp_core.errors import InputError
from fasp_core.evaluation.history import measured_sets
from fasp_core.figures import agreement_matrix
from fasp_core.selection.head_measures import Measures, head_measures
from fasp_core.selection.head_scores import HeadScores
from fasp_core.stats.rank_agreement import RankAgreement, rank_agreement
from fasp_core.study.study import Study
from fasp_core.words.agreement import cannot_tell, describe_muted
from fasp_core.words.numbers import format_fixed
from ui import words
from ui.caches import evaluation_identity, scores_by, set_measures
from ui.charts import draw
from ui.page import axis_picker
from ui.text import plain
from ui.theme import dark
from ui.view import view

MOST_SETS = 100


def agreement_panel(study: Study, scores: HeadScores) -> None:
    """The matrix of measures over heads, or over measured sets, once one asks for it."""
    st.header(words.AGREEMENT, anchor=False, help=words.AGREEMENT_HELP)
    if not st.toggle(words.SHOW_AGREEMENT, key="show_agreement"):
        return
    by_metric = {metric: scores_by(study, metric) for metric in study.metrics} or {"toxicity": scores}
    scored = dict.fromkeys(axis for table in by_metric.values() for axis in table.axes)
    axis = axis_picker(scores, list(scored))
    over = st.segmented_control(
        "Compared over",
        list(words.AGREE_OVER),
        format_func=words.AGREE_OVER.get,
        default="heads",
        required=True,
        key="agree_over",
    )
    of_heads = over == "heads"
    measures = head_measures(by_metric, axis, gamma=view()["gamma"]) if of_heads else _of_sets(study, axis)
    if len(measures.names) < 2 or not len(measures.values):
        st.info(words.NO_AGREEMENT[over])
        return
    _show(study, measures, over)


def _of_sets(study: Study, axis: str) -> Measures:
    try:
        found = measured_sets(study, split="valid", identity=evaluation_identity(study))
    except InputError:
        found = []
    return set_measures(study, [one for one in found if one.evaluation.done][:MOST_SETS], axis)


def _show(study: Study, measures: Measures, over: str) -> None:
    found = rank_agreement(measures.values)
    draw(
        agreement_matrix(measures.names, found, cannot_tell(found, measures.reliability), dark=dark()),
        key="agreement",
        filename=f"agreement.{study.name}",
        alt="Rank correlations between measures; the table below holds them with intervals.",
    )
    st.caption(words.AGREEMENT_MATRIX[over].format(len(measures.values)))
    for note in describe_muted(measures.names, found, measures.reliability, over):
        st.caption(plain(note))
    with st.expander("Show as table"):
        st.dataframe(_table(measures.names, found), hide_index=True, alt="Rank correlation of every two measures")


def _table(names: tuple[str, ...], found: RankAgreement) -> pd.DataFrame:
    """One row per pair of measures."""
    return pd.DataFrame(
        [
            {
                "measure": names[a],
                "other measure": names[b],
                "Spearman": _number(found.r[a, b]),
                "95 % interval": f"{_number(found.low[a, b])} to {_number(found.high[a, b])}",
                "n": int(found.n[a, b]),
            }
            for a, b in zip(*np.triu_indices(len(names), 1), strict=True)
        ]
    )


def _number(value: float) -> str:
    return format_fixed(value, 2) if np.isfinite(value) else "–"
