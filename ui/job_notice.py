"""A notice on whatever page is open when a job has ended."""

from __future__ import annotations

import streamlit as st

from fasp_core.jobs.jobs import list_jobs
from ui import words
from ui.text import plain

SEEN = "job_states"  # whether each job was at work, or waited, when this session looked last


def job_notice() -> None:
    """Say which jobs have ended since this session looked last."""
    jobs, seen = list_jobs(), st.session_state.get(SEEN, {})
    for job in jobs:
        if seen.get(job.id) and not job.live:
            st.toast(f"**{plain(job.title)}**: {words.JOB_STATES[job.state][0].lower()}")
    st.session_state[SEEN] = {job.id: job.live for job in jobs}
