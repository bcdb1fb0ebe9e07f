"""Best within a budget: a button that has promising sets measured as a job, how far that is, the best by a click."""

from __future__ import annotations

import streamlit as st

from fasp_core.access import is_viewer
from fasp_core.comparison.search import MOST_SETS, best_within, ppl_rise
from fasp_core.errors import InputError
from fasp_core.evaluation.comparable import comparable_sets
from fasp_core.evaluation.history import MeasuredSet, measured_sets
from fasp_core.evaluation.streams import stream_of
from fasp_core.jobs.jobs import Job, cancel_job, find_job, remove_job, start_job
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.study import Study
from fasp_core.words.numbers import UNITS, format_estimate, format_fixed
from fasp_core.words.spoken import duration, some_heads
from ui import words
from ui.caches import evaluation_identity
from ui.prune.choice import choose_pruned
from ui.text import plain
from ui.view import bound_value, view

POLL_S = 1.5
PROBLEM = "search_problem"


def best_panel(study: Study, axis: str, metric: str) -> None:
    """The budget, the search, and the best set that is known; the heads go into the view by a click."""
    with st.container(border=True, key="best"):
        left, right = st.columns([2, 3], gap="medium")
        left.slider(words.BUDGET, 0.0, 1.0, step=0.01, format="percent", **bound_value("limit"), help=words.BUDGET_HELP)
        if not is_viewer():
            with right:
                job = _job(study, axis, metric)
                running = job is not None and job.live
                st.fragment(_search, run_every=POLL_S if running else None)(study, axis, metric, running)
        if problem := st.session_state.pop(PROBLEM, None):
            st.error(plain(problem))
        _best(study, axis, metric)


def _search(study: Study, axis: str, metric: str, was_running: bool) -> None:
    """The button, or how far its job is; drawn again by itself while the job runs."""
    job = _job(study, axis, metric)
    running = job is not None and job.live
    if running != was_running:
        st.rerun()  # the whole page: sets have been measured, or a job was started elsewhere
    if not running:
        staged = st.checkbox(words.IN_STAGES, help=words.IN_STAGES_HELP, key="search_in_stages")
        annealed = st.checkbox(words.BY_ANNEALING, help=words.BY_ANNEALING_HELP, key="search_by_annealing")
        how = (study, axis, metric, view()["limit"], staged, annealed)
        st.button(words.FIND_BEST, type="primary", on_click=_start, args=how)
        if job is not None and job.state in ("failed", "lost"):
            st.error(f"{words.SEARCH_FAILED} {plain(job.message)}")
        else:
            st.caption(words.FIND_BEST_HELP)
        return
    at = job.progress
    if at is None:
        st.progress(0.0, words.STARTING if job.state == "running" else words.WAITS_FOR_TURN)
    else:
        left = f", {duration(at.eta_s)} left" if at.eta_s else ""
        st.progress(min(at.done / at.total, 1.0), f"{at.message or words.STARTING}{left}")
    st.button("Stop", key="cancel_search", on_click=_cancel, args=(job.id,), help=words.STOP_RUN)


def _best(study: Study, axis: str, metric: str) -> None:
    """The best set so far, and the button that shows it."""
    stream = stream_of(axis, metric)
    try:
        every = measured_sets(study, split="valid", stream=stream, identity=evaluation_identity(study))
    except InputError:
        return  # the list of measured sets says what is wrong
    sets = comparable_sets(every, axis, metric).sets
    if not sets:
        return
    limit = view()["limit"]
    best = best_within(sets, axis, limit, metric)
    if best is None:
        st.caption(words.no_best(len(sets), limit))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(_sentence(best, axis, metric, len(sets)))
        st.button(words.TAKE_BEST, on_click=choose_pruned, args=(best.target,), disabled=_is_shown(best))


def _sentence(best: MeasuredSet, axis: str, metric: str, n: int) -> str:
    change, rise = best.evaluation.change.bias_by(metric)[axis], 100 * ppl_rise(best.evaluation)
    how = f" ({words.COMPENSATED[best.target.compensate]})" if best.target.compensate != "none" else ""
    measure = "mean toxicity" if axis == MEAN_TOXICITY else f"bias by {metric}"
    return (
        f"**Best of {n} measured {'set' if n == 1 else 'sets'}**: {some_heads(len(best.target.heads))}{how}, "
        f"{measure} {format_estimate(change.value, change.se, signed=True)}{UNITS[metric]}, "
        f"perplexity {format_fixed(rise, 1, signed=True)}\u00a0%."
    )


def _is_shown(best: MeasuredSet) -> bool:
    return view()["heads"] == best.target.heads and view()["compensate"] == best.target.compensate


def _job(study: Study, axis: str, metric: str) -> Job | None:
    return find_job(_job_key(study, axis, metric), study.folder.parent)


def _job_key(study: Study, axis: str, metric: str) -> str:
    return f"search {study.name} {axis} {metric}"


def _start(study: Study, axis: str, metric: str, limit: float, staged: bool, annealed: bool) -> None:
    old = _job(study, axis, metric)
    options = [f"--axis={axis}", f"--metric={metric}", f"--budget-ppl={limit:g}", f"--sets={MOST_SETS}"]
    options += ["--compensate"] if view()["compensate"] != "none" else []
    options += ["--iterative"] if staged else []
    options += ["--annealed=scores"] if annealed else []
    options += [f"--gamma={view()['gamma']:g}"] if staged or annealed else []
    command = ["search", *options, "--", study.name]
    try:
        if old is not None and not old.live:
            remove_job(old.id, study.folder.parent)
        title = f"Find the best set: {study.name}, {axis} by {metric}"
        start_job(command, key=_job_key(study, axis, metric), title=title, root=study.folder.parent)
    except InputError as error:
        st.session_state[PROBLEM] = str(error)


def _cancel(job_id: str) -> None:
    try:
        cancel_job(job_id)
    except InputError as error:
        st.session_state[PROBLEM] = str(error)
