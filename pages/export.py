"""Export: the chosen heads as a configuration, a report, or a checkpoint that is verified before it is downloaded."""

from pathlib import Path

import streamlit as st

from fasp_core.access import is_viewer
from fasp_core.errors import InputError
from fasp_core.evaluation.scorecard_result import Scorecard
from fasp_core.export.model_card import LOADING
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.export.report import html_report
from fasp_core.jobs.exports import (
    FORMS,
    export_folder,
    folder_bytes,
    newest_job,
    start_export,
    start_verification,
    verification_of,
    zipped,
)
from fasp_core.jobs.jobs import cancel_job
from fasp_core.limits import MAX_DOWNLOAD_BYTES
from fasp_core.selection.select_heads import Selection
from fasp_core.study.study import Study
from fasp_core.words.captions import selection_summary
from fasp_core.words.spoken import spoken_bytes
from ui import words
from ui.page import axis_and_metric, metric_of, start_page
from ui.prune.choice import choosing_scores, chosen_selection
from ui.prune.measurement import known_result, target_of
from ui.prune.scorecard import kept_card, scorecard_panel
from ui.text import plain
from ui.view import view

POLL_S = 1.0


def known_results(study: Study, selection: Selection, axis: str, metric: str) -> list:
    """What is known of the selection by the metric, at most one measurement per split, complete or not."""
    if not (study.has_model and selection.pruned):
        return []
    targets = (target_of(study, selection, axis, metric, split) for split in ("valid", "test"))
    return [known for known in (known_result(study, target) for target in targets) if known is not None]


def known_scorecards(study: Study, selection: Selection, axis: str, metric: str) -> list[Scorecard]:
    """The scorecards of the selection that are complete, at most one per split."""
    if not (study.has_model and selection.pruned):
        return []
    cards = (kept_card(study, target_of(study, selection, axis, metric, split)) for split in ("valid", "test"))
    return [card for card in cards if card is not None and card.done]


def files(study: Study, config: PruningConfig, report: str) -> None:
    """The two small files."""
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.markdown("**Configuration (JSON)**")
        st.caption(words.CONFIGURATION)
        st.download_button(
            "Download configuration",
            config.to_json(),
            f"{study.name}.json",
            "application/json",
        )
    with right, st.container(border=True, height="stretch"):
        st.markdown("**Report (HTML)**")
        st.caption(words.REPORT)
        st.download_button("Download report", report, f"{study.name}.html", "text/html")


def checkpoint(study: Study, config: PruningConfig) -> None:
    """A checkpoint: made as a job, verified, then downloaded."""
    st.header("Checkpoint", anchor=False, help=words.TERMS["checkpoint"])
    form = st.radio("Form", list(FORMS), format_func=FORMS.get, label_visibility="collapsed")
    folder = export_folder(study.name, config, form)
    busy = _busy(folder)
    st.fragment(_progress, run_every=POLL_S if busy else None)(config, folder, form, busy)
    st.markdown("**Loading it**")
    st.code(LOADING[form].replace("FOLDER", folder.name), language=None, wrap_lines=True)


def _busy(folder: Path) -> bool:
    jobs = (newest_job("export", folder), verification_of(folder))
    return any(job is not None and job.live for job in jobs)


def _progress(config: PruningConfig, folder: Path, form: str, was_busy: bool) -> None:
    """Where the checkpoint is on its way: to be made, being made, verified; drawn every second while a job runs."""
    if _busy(folder) != was_busy:
        st.rerun()  # the whole page, which then looks every second, or no longer
    made, checked = newest_job("export", folder), verification_of(folder)
    if made is not None and made.live:
        st.info(words.WRITING)
        st.button("Stop", on_click=_cancel, args=(made.id,), help=words.STOP_EXPORT)
        return
    if made is not None and made.state in ("failed", "lost"):
        st.error(f"The export failed: {plain(made.message)}")
    if not folder.is_dir():
        st.button("Make the checkpoint", type="primary", on_click=_start, args=(config, folder, form))
        return
    if checked is None:
        _verify(folder)
    if checked.live:
        st.info(words.VERIFYING)
        return
    if checked.state == "done":
        st.success(words.VERIFIED)
    else:
        st.error(f"Not verified: {plain(checked.message)}")
    st.code(checked.log().strip(), language=None, wrap_lines=True)
    size = folder_bytes(folder)
    st.caption(f"It is in {plain(folder)} on this machine, {spoken_bytes(size)}.")
    with st.container(horizontal=True):
        if size <= MAX_DOWNLOAD_BYTES:
            st.download_button("Download as zip", zipped(folder), f"{folder.name}.zip", "application/zip")
        else:
            st.caption(words.TOO_LARGE)
        st.button("Rebuild", on_click=_start, args=(config, folder, form))


def _verify(folder: Path) -> None:
    """Have the folder verified as it is now; ends the run."""
    try:
        start_verification(folder)
    except InputError as error:
        st.error(plain(error))
        st.stop()
    st.rerun()


def _cancel(job_id: str) -> None:
    try:
        cancel_job(job_id)
    except InputError as error:
        st.session_state["export_problem"] = str(error)


def _start(config: PruningConfig, folder: Path, form: str) -> None:
    try:
        start_export(config, folder, form)
    except InputError as error:
        st.session_state["export_problem"] = str(error)


study, scores = start_page("Export")
axis = axis_and_metric(study, scores)
selection = chosen_selection(choosing_scores(study, scores, axis), axis)
known = known_results(study, selection, axis, metric_of(scores))
results = [result for result in known if result.done]
cards = known_scorecards(study, selection, axis, metric_of(scores))
config = PruningConfig.from_selection(selection, study, results, cards, compensate=view()["compensate"])
st.markdown(
    f"**{selection_summary(len(selection.pruned), len(selection.protected), scores.n_heads)}**, as chosen on the page "
    f"*Prune*. {words.measured_splits(results) if study.has_model else ''}",
    help=f"{words.TERMS['roles']} {words.TERMS['split']}",
)
if selection.pruned:
    st.caption(words.chosen_how(selection, view()["compensate"]))
for unfinished in (result for result in known if not result.done):
    st.warning(f"{words.measurement_state(unfinished)}. {words.NOT_EXPORTED}")
if study.has_model and selection.pruned:
    scorecard_panel(study, selection, axis, metric_of(scores), first="test")
    if "test" not in {measured.split for measured in (*results, *cards)}:
        st.warning(words.EXPORT_EXPLORATORY)
files(study, config, html_report(config, selection, results, scores))
if problem := st.session_state.pop("export_problem", None):
    st.error(plain(problem))
if is_viewer():
    st.caption(words.NO_CHECKPOINT)
elif study.has_model:
    checkpoint(study, config)
else:
    st.info(words.EXPORT_WITHOUT_MODEL)
