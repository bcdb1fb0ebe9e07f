"""The example that comes with the project, one click away: GPT-2's head scores as FASP's authors published them."""

from __future__ import annotations

import streamlit as st

from fasp_core.access import is_viewer
from fasp_core.errors import InputError
from fasp_core.study.importing import EXAMPLE, example_study
from fasp_core.study.study import list_studies
from ui import words
from ui.text import plain
from ui.view import choose, view


def example_button() -> None:
    """The button that shows the example; none where it is shown already, or where a viewer would have to import it."""
    if view()["study"] == EXAMPLE or (is_viewer() and EXAMPLE not in list_studies()):
        return
    st.button(words.SHOW_EXAMPLE, on_click=_show, help=words.EXAMPLE)
    if problem := st.session_state.pop("example_problem", None):
        st.error(plain(problem))


def _show() -> None:
    try:
        choose("study", example_study().name)
    except InputError as error:
        st.session_state["example_problem"] = str(error)
