"""The form that imports published scores."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import streamlit as st

from fasp_core.errors import InputError
from fasp_core.files.writing import write_errors
from fasp_core.jobs.jobs import start_job
from fasp_core.limits import MAX_BYTES, MAX_READ_ON_PAGE
from fasp_core.study.importing import import_scores, models_in
from fasp_core.study.study import list_studies
from ui import words
from ui.example import example_button
from ui.studies.uploads import keep_upload
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
        try:
            with write_errors(path):
                path.write_bytes(upload.getvalue())
            models = models_in(path)
            model = st.selectbox("Model", models) if models else None
            left, right = st.columns(2)
            name = left.text_input("Name", placeholder="that of the file", key=f"import_name_{upload.name}_{model}")
            layers = right.number_input("Layers", 0, 1000, 0, help=words.LAYERS)
            taken = name.strip() in list_studies()
            again = taken and st.checkbox(f"Replace the imported study {plain(name.strip())}")
            if not st.button("Import", type="primary"):
                return
            options = {"name": name.strip() or None, "model": model, "n_layers": layers or None, "force": bool(again)}
            if upload.size > MAX_READ_ON_PAGE:
                _start_import(keep_upload(upload.name, upload.getvalue()), **options)
                st.info(words.IMPORTING)
            else:
                made = import_scores(path, **options)
                st.success(f"Imported as study {plain(made.name)}.")
                st.button("Show this study", on_click=choose, args=("study", made.name))
        except InputError as error:
            st.error(plain(words.on_page(str(error).replace(f"{scratch}{os.sep}", ""))))


def _start_import(path: Path, *, name: str | None, model: str | None, n_layers: int | None, force: bool) -> None:
    """Import the file by a job."""
    given = {"name": name, "model": model, "n-layers": n_layers}
    command = ["import", *(f"--{option}={value}" for option, value in given.items() if value is not None)]
    start_job([*command, *["--force"] * force, "--", str(path)], key=f"import {path}", title=f"Import {path.name}")
