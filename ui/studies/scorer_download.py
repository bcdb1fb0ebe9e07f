"""Getting the weights of a Detoxify scorer: a button where they are absent, which starts a job. Nothing else loads."""

from __future__ import annotations

import streamlit as st

from fasp_core.errors import InputError
from fasp_core.jobs.jobs import find_job, start_job
from ui import words
from ui.caches import scorer_hint
from ui.text import plain

PROBLEM = "scorer_problem"


def scorer_download(ref: str) -> None:
    """Whether the scorer's weights are on this machine, and the button that gets them where they are not."""
    key = f"scorers get {ref}"
    job = find_job(key)
    if job is not None and job.live:
        st.caption(words.DOWNLOADING)
        return
    hint = scorer_hint(ref, job.id if job else None)
    if not hint:
        return
    st.warning(f"{plain(ref)} is not on this machine: {plain(hint)}\\.")
    st.button(f"Download {ref}", on_click=_start, args=(ref, key), help=words.DOWNLOAD_HELP)
    if problem := st.session_state.pop(PROBLEM, None):
        st.error(plain(problem))


def _start(ref: str, key: str) -> None:
    try:
        start_job(["scorers", "get", ref], key=key, title=f"Download {ref}")
    except InputError as error:
        st.session_state[PROBLEM] = str(error)
