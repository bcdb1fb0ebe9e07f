"""The form that imports published scores."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import streamlit as st

from fasp_core.errors import InputError
from fasp_core.limits import MAX_BYTES
from fasp_core.study.importing import import_scores, models_in
from fasp_core.study.study import list_studies
from ui import words
from ui.example import example_button
from ui.text import plain
from ui.view import choose


def import_form() -> None:
    """Published head scores from a file: a study without a model."""
    example_button()
    upload = st.file_uploader(
        "File of head scores",
        ["csv", "json", "parquet"],
        max_upload_size=MAX_BYTES >> 20,
        help=words.SCORE_FILE,
    )
    if upload is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / os.path.basename(upload.name)
        path.write_bytes(upload.getvalue())
        try:
            models = models_in(path)
            model = st.selectbox("Model", models) if models else None
            left, right = st.columns(2)
            name = left.text_input("Name", placeholder="that of the file", key=f"import_name_{upload.name}_{model}")
            layers = right.number_input("Layers", 0, 1000, 0, help=words.LAYERS)
            taken = name.strip() in list_studies()
            again = taken and st.checkbox(f"Replace the imported study {plain(name.strip())}")
            if st.button("Import", type="primary"):
                made = import_scores(
                    path, name=name.strip() or None, model=model, n_layers=layers or None, force=bool(again)
                )
                st.success(f"Imported as study {plain(made.name)}.")
                st.button("Show this study", on_click=choose, args=("study", made.name))
        except InputError as error:
            st.error(plain(words.on_page(str(error).replace(f"{scratch}{os.sep}", ""))))
