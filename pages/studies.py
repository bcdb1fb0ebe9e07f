"""Studies: start and extend them, watch their jobs, import published scores, rename and delete them."""

from pathlib import Path

import pandas as pd
import streamlit as st

from fasp_core.access import is_viewer
from fasp_core.errors import InputError
from fasp_core.study.study import list_studies, open_study
from fasp_core.study.views import scored_axes
from fasp_core.words.numbers import axis_label
from fasp_core.words.spoken import model_title, spoken_bytes
from ui import words
from ui.columns import explained
from ui.page import open_page
from ui.studies.import_form import import_form
from ui.studies.jobs_panel import jobs_panel
from ui.studies.managing import rename_and_delete
from ui.studies.new_study import new_study_form
from ui.text import plain
from ui.view import EndOfPage


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
        kind = model_title(made.model.get("name"), made.model.get("ref"))
        rows.append(
            {
                "study": name,
                "model": kind if study.has_model else f"{kind} (imported)",
                "shape": f"{study.n_layers} × {study.heads_per_layer}",
                "axes": ", ".join(map(axis_label, scored_axes(study))),
                "on disk": spoken_bytes(_size(study.folder)),
                "made": made.created[:16].replace("T", " "),
            }
        )
    if rows:
        table = pd.DataFrame(rows)
        st.dataframe(table, hide_index=True, column_config=explained(table))
    else:
        st.info(words.NO_STUDIES)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


open_page("Studies")
study_table()
if is_viewer():
    st.caption(words.FOR_LOOKING)
    raise EndOfPage
st.header("Jobs", anchor=False)
jobs_panel()
if problem := st.session_state.pop("jobs_problem", None):
    st.error(plain(problem))
left, right = st.columns(2, gap="large")
with left:
    st.header("Start or extend a study", anchor=False)
    new_study_form()
with right:
    st.header("Import published scores", anchor=False)
    import_form()
    rename_and_delete()
