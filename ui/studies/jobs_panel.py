"""The list of jobs: how far each is, and the buttons to pause, cancel, resume and remove it."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from fasp_core.background import Job, cancel_job, list_jobs, remove_job, start_job
from fasp_core.errors import InputError
from fasp_core.progress import Progress
from fasp_core.terminal import duration

from .text import plain

POLL_S = 1.0
STATES = {
    "running": ("Running", "blue"), "done": ("Done", "green"), "failed": ("Failed", "red"),
    "cancelled": ("Paused", "orange"), "lost": ("Lost", "red"),
}  # fmt: skip
FORGET = "jobs_to_forget"  # cancelled here: their entries go as soon as they have stopped


def jobs_panel() -> None:
    """All jobs, the newest first; while one runs this part is drawn again every second."""
    running = any(job.state == "running" for job in list_jobs())
    st.fragment(_list, run_every=POLL_S if running else None)(running)


def _list(was_running: bool) -> None:
    jobs = [job for job in list_jobs() if not _forgotten(job)]
    if was_running and not any(job.state == "running" for job in jobs):
        st.rerun()  # the studies below have changed, and nothing is left to watch
    if not jobs:
        st.caption("No job has been started. Jobs go on when the browser is closed, and when the app is restarted.")
    for job in jobs:
        _card(job)


def _card(job: Job) -> None:
    state, colour = STATES[job.state]
    with st.container(border=True, key=f"job_{job.id}"):
        when = datetime.fromtimestamp(job.created).strftime("%d %b %H:%M")
        st.markdown(f"**{plain(job.title)}** :{colour}-badge[{state}] {plain(when)}")
        for stage in job.stages if job.state != "done" else ():
            st.progress(min(stage.done / stage.total, 1.0) if stage.total else 1.0, plain(_stage_words(stage)))
        if job.state in ("failed", "lost"):
            st.error(plain(job.message))
        elif job.state == "running" and not job.stages:
            st.caption("Starting; the model is opened first.")
        with st.container(horizontal=True):
            _buttons(job)
        with st.expander("What it printed"):
            st.code(job.log() or "Nothing yet.", language=None, wrap_lines=True, height=200)


def _buttons(job: Job) -> None:
    if job.state == "running":
        _button("Pause", job, cancel_job, help="Stops it; what is finished is kept, and it goes on from there.")
        _button("Cancel", job, _cancel_for_good, help="Stops it and takes it off this list. Finished work is kept.")
        return
    if job.state != "done":
        _button("Resume", job, _resume, help="Goes on behind the last finished part.")
    _button("Remove", job, remove_job, help="Takes the job off this list. What it measured stays.")


def _button(label: str, job: Job, act, help: str) -> None:
    def clicked() -> None:
        try:
            act(job.id)
        except InputError as error:
            st.session_state["jobs_problem"] = str(error)

    st.button(label, key=f"{label}_{job.id}", on_click=clicked, help=help)


def _cancel_for_good(job_id: str) -> None:
    cancel_job(job_id)
    st.session_state.setdefault(FORGET, set()).add(job_id)


def _resume(job_id: str) -> None:
    job = next(job for job in list_jobs() if job.id == job_id)
    start_job(job.command, key=job.key, title=job.title)
    remove_job(job_id)


def _forgotten(job: Job) -> bool:
    """Whether a job was cancelled for good here; once it has stopped, its entry is removed."""
    if job.id not in st.session_state.get(FORGET, ()):
        return False
    if job.state == "running":
        return False
    remove_job(job.id)
    st.session_state[FORGET].discard(job.id)
    return True


def _stage_words(stage: Progress) -> str:
    """`samples gender: 256 of 1,536 texts, 3 min 20 s left`."""
    words = f"{stage.stage}: {stage.done:,} of {stage.total:,} {stage.unit}"
    if stage.done >= stage.total or stage.eta_s is None:
        return words
    return f"{words}, {duration(stage.eta_s)} left"
