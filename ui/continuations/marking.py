"""Tokens of texts before and after pruning, marked by what pruning does to each: on request, made by a job."""

from __future__ import annotations

from itertools import chain

import streamlit as st

from fasp_core.access import is_viewer
from fasp_core.errors import InputError
from fasp_core.evaluation.history import MeasuredSet, marked_texts
from fasp_core.evaluation.keys import Target
from fasp_core.jobs.marking import marking_job, start_marking
from fasp_core.study.study import Study
from fasp_core.words.numbers import format_fixed
from fasp_core.words.text_evidence import MarkedText, largest_ratio, marked_tokens
from ui import words
from ui.text import plain

POLL_S = 2.0
PROBLEM = "marking_problem"

Marks = dict[tuple[int, int], tuple[MarkedText, MarkedText]]  # by block and place of a pair


def marking_switch(study: Study, found: MeasuredSet, axis: str, n_pairs: int) -> Marks:
    """The switch that marks tokens, and the way to have them marked; gives the marked texts, none where it is off."""
    if not st.toggle("Mark tokens", key="mark_pairs", help=words.MARK_PAIRS_HELP):
        return {}
    marks, job = marked_texts(found, axis, study.folder.parent), marking_job(found.target, axis)
    if problem := st.session_state.pop(PROBLEM, None):
        st.error(plain(problem))
    if len(marks) < n_pairs:
        if job is not None and job.live:
            st.fragment(_wait, run_every=POLL_S)(study, found, axis, n_pairs)
        elif is_viewer():
            st.caption(words.NOT_MARKED)
        else:
            if job is not None and job.state in ("failed", "lost"):
                st.error(f"{words.MARKING_FAILED} {plain(job.message)}")
            st.button("Mark these texts", on_click=_start, args=(found.target, axis), help=words.MARK_PAIRS_COST)
    if marks:
        st.caption(words.MARKED_PAIRS)
    return marks


def _wait(study: Study, found: MeasuredSet, axis: str, n_pairs: int) -> None:
    """How far the job is; the page shows what there is when it ends."""
    job = marking_job(found.target, axis)
    if job is None or not job.live:
        st.rerun()
    done = len(marked_texts(found, axis, study.folder.parent))
    st.progress(min(1.0, done / n_pairs), words.MARKING)


def limit_of(marks: Marks) -> float:
    """The log-ratio that has the strongest ground, the same for all texts."""
    return largest_ratio(chain.from_iterable(marks.values()))


def show_marked(pair: tuple[MarkedText, MarkedText], toxicity: tuple[float, float], limit: float) -> None:
    """Both texts of a pair, their tokens marked, with the log-ratio of each text; one where they are the same."""
    texts = pair[:1] if pair[0].tokens == pair[1].tokens else pair
    names = ("Intact", "Pruned") if len(texts) == 2 else (words.UNCHANGED,)
    for column, name, text, value in zip(st.columns(len(texts), gap="medium"), names, texts, toxicity, strict=False):
        total = format_fixed(sum(text.log_ratios), 3, signed=True)
        with column:
            st.caption(f"{name} · toxicity {format_fixed(value, 2)} · log-ratio {total} nats")
            st.html(marked_tokens(text, limit))


def _start(target: Target, axis: str) -> None:
    try:
        start_marking(target, axis)
    except InputError as error:
        st.session_state[PROBLEM] = str(error)
