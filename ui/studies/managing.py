"""Renaming and deleting a study, each only while no job works on it."""

from __future__ import annotations

import streamlit as st

from fasp_core.errors import InputError
from fasp_core.evaluation.set_names import move_notes
from fasp_core.jobs.jobs import list_jobs
from fasp_core.jobs.report import study_of
from fasp_core.limits import MAX_STUDY_NAME
from fasp_core.study.study import delete_study, list_studies, rename_study
from ui import words
from ui.address import PARTS
from ui.text import plain
from ui.view import choose, view

PROBLEM = "managing_problem"


def rename_and_delete() -> None:
    """The two forms, and what went wrong with the last one."""
    names = list_studies()
    if names:
        st.header("Rename or delete", anchor=False)
        with st.expander("Rename a study"):
            _renaming(names)
        with st.expander("Delete a study"):
            _deletion(names)
    if problem := st.session_state.pop(PROBLEM, None):
        st.error(plain(problem))


def _renaming(names: list[str]) -> None:
    name = st.selectbox("Study", names, index=None, placeholder="which one", key="to_rename")
    if name is None or _is_busy(name):
        return
    new = st.text_input("New name", name, max_chars=MAX_STUDY_NAME, key=f"new_name_{name}").strip()
    st.button("Rename", disabled=new in ("", name), on_click=_rename, args=(name, new))


def _deletion(names: list[str]) -> None:
    """Deleting is asked twice."""
    name = st.selectbox("Study", names, index=None, placeholder="which one", key="to_delete")
    if name is None or _is_busy(name):
        return
    sure = st.checkbox(f"Delete study {plain(name)} and all that was measured for it", key=f"sure_{name}")
    again = st.text_input("Type its name to confirm", key=f"again_{name}", disabled=not sure)
    st.button("Delete", type="primary", disabled=not sure or again != name, on_click=_delete, args=(name,))


def _is_busy(name: str) -> bool:
    """Whether a job works on the study, which is then said."""
    busy = any(job.live and study_of(job.command) == name for job in list_jobs())
    if busy:
        st.info(words.JOB_AT_WORK)
    return busy


def _rename(name: str, new: str) -> None:
    try:
        rename_study(name, new)
        move_notes(name, new)
    except InputError as error:
        st.session_state[PROBLEM] = str(error)
        return
    _show_instead(name, new)


def _delete(name: str) -> None:
    try:
        delete_study(name)
    except InputError as error:
        st.session_state[PROBLEM] = str(error)
        return
    _show_instead(name)


def _show_instead(name: str, other: str | None = None) -> None:
    """Have the view name the other study wherever it names this one, or none."""
    for part in ("study", "beside"):
        if view()[part] == name:
            choose(part, other or PARTS[part].default)
