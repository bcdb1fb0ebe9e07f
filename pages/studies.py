"""Studies: start and extend them, watch their jobs, import published scores, and delete what is no longer wanted."""

from pathlib import Path

import pandas as pd
import streamlit as st

from fasp_core.background import list_jobs
from fasp_core.errors import InputError
from fasp_core.estimate import spoken_bytes
from fasp_core.numbers import axis_label
from fasp_core.study import delete_study, list_studies, open_study
from ui.jobs_panel import jobs_panel
from ui.new_study import import_form, new_study_form
from ui.parts import open_page
from ui.state import choose
from ui.text import plain


def study_table() -> None:
    """Every study with its model, axes and size; damaged ones with what is wrong."""
    rows = []
    for name in list_studies():
        try:
            study = open_study(name)
        except InputError as error:
            rows.append({"study": name, "model": "", "shape": "", "axes": str(error), "on disk": "", "made": ""})
            continue
        made = study.manifest
        kind = made.model.get("name") or made.model.get("ref") or "unknown"
        rows.append({
            "study": name, "model": kind if study.has_model else f"{kind} (imported)",
            "shape": f"{study.n_layers} × {study.heads_per_layer}", "axes": ", ".join(map(axis_label, study.axes)),
            "on disk": spoken_bytes(_size(study.folder)), "made": made.created[:16].replace("T", " "),
        })  # fmt: skip
    if rows:
        st.dataframe(pd.DataFrame(rows), hide_index=True)
    else:
        st.info("There is no study yet. Start one: the default model and the quick budget need no download.")


def deletion() -> None:
    """Deleting a study, asked twice."""
    names = list_studies()
    if not names:
        return
    with st.expander("Delete a study"):
        name = st.selectbox("Study", names, index=None, placeholder="which one", key="to_delete")
        if name is None:
            return
        if any(job.state == "running" and job.key == f"score {name}" for job in list_jobs()):
            st.info("A job is at work on this study; stop it first.")
            return
        sure = st.checkbox(f"Delete study {plain(name)} and all that was measured for it", key=f"sure_{name}")
        again = st.text_input("Type its name to confirm", key=f"again_{name}", disabled=not sure)
        st.button("Delete", type="primary", disabled=not sure or again != name, on_click=_delete, args=(name,))
    if problem := st.session_state.pop("delete_problem", None):
        st.error(plain(problem))


def _delete(name: str) -> None:
    try:
        delete_study(name)
        choose("study", None)
    except InputError as error:
        st.session_state["delete_problem"] = str(error)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


open_page("Studies")
study_table()
st.subheader("Jobs", anchor=False)
jobs_panel()
if problem := st.session_state.pop("jobs_problem", None):
    st.error(plain(problem))
left, right = st.columns(2, gap="large")
with left:
    st.subheader("Start or extend a study", anchor=False)
    new_study_form()
with right:
    st.subheader("Import published scores", anchor=False)
    import_form()
    st.subheader("Tidy up", anchor=False)
    deletion()
