"""Export: the chosen heads as a configuration, a report, or a checkpoint that is verified before it is downloaded."""

from pathlib import Path

import streamlit as st

from fasp_core.captions import selection_summary
from fasp_core.config import PruningConfig
from fasp_core.errors import InputError
from fasp_core.estimate import spoken_bytes
from fasp_core.model_card import LOADING
from fasp_core.report import html_report
from fasp_core.selection import Selection
from fasp_core.study import Study
from ui.exporting import FORMS, export_folder, folder_bytes, newest_job, start_export, start_verification, zipped
from ui.measurement import Wish, known_effect
from ui.parts import axis_and_metric, start_page
from ui.selecting import chosen_selection
from ui.text import plain

MOST_DOWNLOAD_BYTES = 2 * 10**9  # the server holds a download in memory while it is sent
POLL_S = 1.0


def known_results(study: Study, selection: Selection) -> list:
    """What was measured of the selection, at most one result per split, as far as it went."""
    if not (study.has_model and selection.pruned):
        return []
    wishes = (Wish(study.name, selection.pruned, tuple(study.axes), split) for split in ("valid", "test"))
    return [known.evaluation for known in (known_effect(study, wish) for wish in wishes) if known is not None]


def files(study: Study, config: PruningConfig, report: str) -> None:
    """The two small files."""
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.markdown("**Configuration (JSON)**")
        st.caption(
            "The pruned heads, the model they belong to, how they were chosen and what was measured. Loads back."
        )
        st.download_button(
            "Download configuration", config.model_dump_json(indent=2) + "\n", f"{study.name}.json", "application/json",
        )  # fmt: skip
    with right, st.container(border=True, height="stretch"):
        st.markdown("**Report (HTML)**")
        st.caption(
            "One file to read and to send: figures, settings, intervals, reliability, the method. Opens offline."
        )
        st.download_button("Download report", report, f"{study.name}.html", "text/html")


def checkpoint(study: Study, config: PruningConfig) -> None:
    """A checkpoint: made as a job, verified, then downloaded."""
    st.subheader("Checkpoint", anchor=False)
    form = st.radio("Form", list(FORMS), format_func=FORMS.get, label_visibility="collapsed")
    folder = export_folder(study.name, config, form)
    st.fragment(_progress, run_every=POLL_S if _busy(folder) else None)(config, folder, form)
    st.markdown("**Loading it**")
    st.code(LOADING[form].replace("FOLDER", folder.name), language="python", wrap_lines=True)


def _busy(folder: Path) -> bool:
    jobs = (newest_job(kind, folder) for kind in ("export", "verify"))
    return any(job is not None and job.state == "running" for job in jobs)


def _progress(config: PruningConfig, folder: Path, form: str) -> None:
    """Where the checkpoint is on its way: to be made, being made, verified."""
    made, checked = newest_job("export", folder), newest_job("verify", folder)
    if made is not None and made.state == "running":
        st.info("The checkpoint is being written. It goes on when this page is closed.")
        return
    if made is not None and made.state in ("failed", "lost"):
        st.error(f"The export failed: {plain(made.message)}")
    if not folder.is_dir():
        st.button("Make the checkpoint", type="primary", on_click=_start, args=(config, folder, form))
        return
    if checked is None or checked.created < folder.stat().st_mtime - 1:
        start_verification(folder)
        st.rerun()
    if checked.state == "running":
        st.info("Written; now it is loaded anew and compared with the model that was measured …")
        return
    if checked.state == "done":
        st.success("Verified: the checkpoint computes what the model with these heads gated computes.")
    else:
        st.error(f"Not verified: {plain(checked.message)}")
    st.code(checked.log().strip(), language=None, wrap_lines=True)
    size = folder_bytes(folder)
    st.caption(f"It is in {plain(folder)} on this machine, {spoken_bytes(size)}.")
    with st.container(horizontal=True):
        if size <= MOST_DOWNLOAD_BYTES:
            st.download_button("Download as zip", zipped(folder), f"{folder.name}.zip", "application/zip")
        else:
            st.caption("It is too large to be sent through the browser; copy the folder.")
        st.button("Make it again", on_click=_start, args=(config, folder, form))


def _start(config: PruningConfig, folder: Path, form: str) -> None:
    try:
        start_export(config, folder, form)
    except InputError as error:
        st.session_state["export_problem"] = str(error)


study, scores = start_page("Export")
axis = axis_and_metric(study, scores)
selection = chosen_selection(scores, axis)
results = known_results(study, selection)
config = PruningConfig.from_selection(selection, study, results)
known = [f"{r.split} prompts, {100 * r.fraction_done:.0f} %" for r in results]
st.markdown(
    f"**{selection_summary(len(selection.pruned), len(selection.protected), scores.n_heads)}**, as chosen on the page "
    f"*Prune*. Measured: {' and '.join(known) or 'not yet'}."
)
files(study, config, html_report(config, selection, results, scores.meta))
if problem := st.session_state.pop("export_problem", None):
    st.error(plain(problem))
if study.has_model:
    checkpoint(study, config)
else:
    st.info("Imported scores have no model here, so no checkpoint can be made: only the configuration and the report.")
