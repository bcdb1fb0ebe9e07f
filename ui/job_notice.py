"""The sidebar's notice of jobs, on every page: how many are at work and for how long, and which one has ended."""

from __future__ import annotations

import streamlit as st

from fasp_core.access import is_viewer
from fasp_core.jobs.jobs import Job, list_jobs
from fasp_core.jobs.time_left import time_left
from fasp_core.study.study import list_studies
from ui import words
from ui.text import plain
from ui.view import address_of_view, choose

POLL_S = 3.0
SEEN = "job_states"  # whether each job was at work, or waited, when this session looked last
ENDED = "jobs_ended"  # those that have ended since, each with the page on which that was said


def job_notice(page: str) -> None:
    """What is at work, looked at again while anything is; and what has ended, until one goes to another `page`."""
    if is_viewer():
        return
    jobs, seen = list_jobs(), st.session_state.get(SEEN, {})
    told = {job_id: on for job_id, on in st.session_state.get(ENDED, {}).items() if on == page}
    for job in jobs:
        if seen.get(job.id) and not job.live:
            st.toast(_ended(job))
            told[job.id] = page
    st.session_state[SEEN], st.session_state[ENDED] = {job.id: job.live for job in jobs}, told
    live = [job.id for job in jobs if job.live]
    with st.sidebar:
        if live:
            st.fragment(_at_work, run_every=POLL_S)(live)
        for job in jobs:
            if job.id in told and job.state == "done" and study_of(job):
                st.markdown(_ended(job))
                open_button(job, f"notice_{job.id}")


def study_of(job: Job) -> str | None:
    """The study that a job has scored, None where there is none of that name or the job did something else."""
    name = job.key.removeprefix("score ")
    return name if name != job.key and name in list_studies() else None


def open_button(job: Job, key: str) -> None:
    """The button that leads to the study of a job, see `study_of`."""
    if st.button(words.OPEN_STUDY, key=key):
        choose("study", study_of(job))
        st.switch_page("pages/heads.py", query_params=address_of_view())


def _at_work(before: list[str]) -> None:
    """How many jobs are at work, and for how long; once one more or one less is, the whole page is drawn again."""
    live = [job for job in list_jobs() if job.live]
    if [job.id for job in live] != before:
        st.rerun()
    waiting = sum(job.state == "queued" for job in live)
    st.caption(words.jobs_at_work(len(live) - waiting, waiting, time_left(live)))


def _ended(job: Job) -> str:
    return f"**{plain(job.title)}** {words.JOB_ENDED[job.state]}"
