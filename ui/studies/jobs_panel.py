"""The list of jobs: how far each is, and the buttons to pause, cancel, resume and remove it."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import streamlit as st

from fasp_core.errors import InputError
from fasp_core.jobs.jobs import Job, cancel_job, list_jobs, remove_job, start_job
from fasp_core.jobs.turns import place_in_queue
from fasp_core.limits import MAX_JOBS_SHOWN
from fasp_core.progress import Progress
from fasp_core.words.spoken import duration
from ui import words
from ui.job_notice import open_button, study_of
from ui.text import plain

POLL_S = 1.0
FORGET = "jobs_to_forget"  # cancelled here: their entries go as soon as they have stopped


def jobs_panel() -> None:
    """All jobs, those at work first; only these are drawn again, every second."""
    jobs = [job for job in list_jobs() if not _forgotten(job)]
    live = [job.id for job in jobs if job.live]
    if live:
        st.fragment(_follow, run_every=POLL_S)(live)
    ended = [job for job in jobs if not job.live]
    for job in ended[:MAX_JOBS_SHOWN]:
        _card(job)
    if len(ended) > MAX_JOBS_SHOWN:
        st.caption(words.OLDER_JOBS.format(len(ended) - MAX_JOBS_SHOWN))
    if not jobs:
        st.caption(words.NO_JOB)


def _follow(before: list[str]) -> None:
    """The jobs at work, until one more or one less is; those that have just ended as they are now."""
    jobs = [job for job in list_jobs() if (job.live or job.id in before) and not _forgotten(job)]
    live = [job for job in jobs if job.live]
    for job in jobs:
        _card(job, place_in_queue(job, live) if job.state == "queued" else 0)
    if [job.id for job in live] != before:
        st.rerun()  # the studies have changed, and what has ended stands below


def _card(job: Job, place: int = 0) -> None:
    """One job; `place` is its place in the queue, 0 where it does not wait."""
    state, colour = words.JOB_STATES[job.state]
    with st.container(border=True, key=f"job_{job.id}"):
        when = datetime.fromtimestamp(job.created).strftime("%d %b %H:%M") if job.created else ""
        st.markdown(f"**{plain(job.title)}** :{colour}-badge[{state}] {plain(when)}")
        for stage in job.stages if job.state not in ("done", "queued") else ():
            st.progress(min(stage.done / stage.total, 1.0) if stage.total else 1.0, plain(_stage_words(stage)))
        if job.state in ("failed", "lost", "damaged"):
            st.error(plain(job.message))
        elif job.state == "queued":
            st.caption(words.WAITING.format(place))
        elif job.live and not job.stages:
            st.caption(words.STARTING)
        with st.container(horizontal=True):
            _buttons(job)
        with st.expander("Log"):
            st.code(job.log() or "Nothing yet.", language=None, wrap_lines=True, height=200)


def _buttons(job: Job) -> None:
    if job.live:
        _button("Stop", job, cancel_job, help=words.STOP_JOB)
        _button("Stop and forget", job, _cancel_for_good, help=words.STOP_AND_FORGET)
        return
    if job.state != "done" and job.command:
        _button("Resume", job, _resume, help=words.RESUME)
    if job.state == "done" and study_of(job):
        open_button(job, f"open_{job.id}")
    _button("Remove", job, remove_job, help=words.REMOVE)


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
    job = next((job for job in list_jobs() if job.id == job_id), None)
    if job is None:
        raise InputError("the job was removed meanwhile")
    start_job(job.command, key=job.key, title=job.title)
    remove_job(job_id)


def _forgotten(job: Job) -> bool:
    """Whether a job was cancelled for good here; once it has stopped, its entry is removed."""
    if job.id not in st.session_state.get(FORGET, ()):
        return False
    if job.live:
        return False
    with suppress(InputError):
        remove_job(job.id)
    st.session_state[FORGET].discard(job.id)
    return True


def _stage_words(stage: Progress) -> str:
    """`samples gender: 256 of 1,536 texts, 3 min 20 s left`."""
    so_far = f"{stage.stage}: {stage.done:,} of {stage.total:,} {stage.unit}"
    if stage.done >= stage.total or stage.eta_s is None:
        return so_far
    return f"{so_far}, {duration(stage.eta_s)} left"
