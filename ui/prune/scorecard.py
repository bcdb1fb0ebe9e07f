"""The scorecard of a selection, on Prune and Export: what is kept of it, and the button that has the rest measured."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from fasp_core.access import is_viewer
from fasp_core.errors import InputError
from fasp_core.evaluation.keys import Target
from fasp_core.evaluation.scorecard_result import Scorecard, kept_scorecard
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.export.scorecard_rows import HEADER, ScorecardRow, scorecard_notes
from fasp_core.jobs.jobs import cancel_job
from fasp_core.jobs.scorecards import scorecard_job, start_scorecard
from fasp_core.selection.select_heads import Selection
from fasp_core.study.study import Study
from ui import words
from ui.columns import explained
from ui.prune.measurement import known_effect, target_of
from ui.text import plain

POLL_S = 2.0
PROBLEM = "scorecard_problem"
SPLITS = {"valid": "Validation (exploratory)", "test": "Test"}


def kept_card(study: Study, target: Target) -> Scorecard | None:
    """What was measured of a target's scorecard; None where nothing was, or the database cannot be read."""
    try:
        store = EvaluationStore(study.folder.parent)
        return kept_scorecard(
            study,
            target.heads,
            split=target.split,
            store=store,
            evaluation=known_effect(study, target),
            compensate=target.compensate,
        )
    except InputError:
        return None


def scorecard_panel(study: Study, selection: Selection, axis: str, metric: str, *, first: str | None = None) -> None:
    """The scorecard of one split, once one asks for it; with `first` it is open, and begins with that split."""
    with st.container(border=True, key="scorecard"):
        title = "Scorecard: what else does pruning change?"
        if not st.toggle(title, first is not None, key="show_scorecard", help=words.SCORECARD):
            return
        split = st.segmented_control(
            "Split",
            list(SPLITS),
            format_func=SPLITS.get,
            default=first or "valid",
            required=True,
            key="scorecard_split",
            help=words.TERMS["split"],
        )
        target = target_of(study, selection, axis, metric, split)
        running = _runs(target)
        st.fragment(_card, run_every=POLL_S if running else None)(study, target, running)
        if problem := st.session_state.pop(PROBLEM, None):
            st.error(plain(problem))


def _runs(target: Target) -> bool:
    job = scorecard_job(target)
    return job is not None and job.live


def _card(study: Study, target: Target, was_running: bool) -> None:
    """The rows so far, and how to get the others; drawn again by itself while they are measured."""
    if _runs(target) != was_running:
        st.rerun()  # the whole page, which then looks again and again, or no longer
    job, card = scorecard_job(target), kept_card(study, target)
    if card is not None:
        rows = [ScorecardRow.of(row).cells for row in card.rows]
        table = pd.DataFrame(rows, columns=[*HEADER[:-1], "verdict"])
        st.dataframe(table, hide_index=True, column_config=explained(table))
        for note in scorecard_notes(card.split, len(rows)):
            st.caption(note)
    if card is not None and card.done:
        return
    if job is not None and job.live:
        st.progress(card.fraction_done if card else 0.0, words.SCORECARD_RUNS)
        st.button("Stop", on_click=_stop, args=(job.id,), help=words.STOP_SCORECARD, key="stop_scorecard")
    elif is_viewer():
        st.caption(words.SCORECARD_ABSENT)
    else:
        if job is not None and job.state in ("failed", "lost"):
            st.error(f"{words.SCORECARD_FAILED} {plain(job.message)}")
        st.button("Measure the scorecard", on_click=_start, args=(target,), help=words.SCORECARD_COST)


def _stop(job_id: str) -> None:
    try:
        cancel_job(job_id)
    except InputError as error:
        st.session_state[PROBLEM] = str(error)


def _start(target: Target) -> None:
    try:
        start_scorecard(target)
    except InputError as error:
        st.session_state[PROBLEM] = str(error)
