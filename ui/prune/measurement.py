"""The measured effect of a selection: what is known at once, else what the evaluation service measures, as it comes in.

What is known is read from one place, `history.measured_set`, by the heads that are shown, whoever measured it. A
request goes out when the selection changes, never by looking: a failed one is made again only by its button.
"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from fasp_core.access import Quota, is_viewer
from fasp_core.errors import InputError
from fasp_core.evaluation.history import measured_set
from fasp_core.evaluation.keys import Target
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.streams import axis_of, metric_of, stream_of
from fasp_core.files.paths import cache_root
from fasp_core.files.run_log import SERVER, log_event
from fasp_core.jobs.client import EvaluationStatus
from fasp_core.limits import VIEWER_EVALUATIONS, VIEWER_EVALUATIONS_TOGETHER
from fasp_core.selection.select_heads import Selection
from fasp_core.study.study import Study
from fasp_core.study.views import measured_axes
from fasp_core.words.captions import measured_size
from ui import words
from ui.caches import evaluation_client, evaluation_identity
from ui.prune.effects import draw_effects
from ui.text import plain
from ui.view import session_id, view

POLL_S = 0.6
VISITORS = Quota(VIEWER_EVALUATIONS, VIEWER_EVALUATIONS_TOGETHER)  # what viewers had measured lately
UNFINISHED = {
    "queued": "Waiting for its turn",
    "starting": "Opening the model; this takes some seconds, once",
    "running": "Measuring",
}
CHANGED = "the study has changed since it was measured"


def measured(study: Study, selection: Selection, axis: str, metric: str) -> Evaluation | None:
    """The selection's effect on the valid prompts by `metric`, shown as far as it is known, and measured further.

    First on the axis that is shown, then on the others too. Returns it once it is complete, or as far as it came before
    it failed.
    """
    return _show(study, target_of(study, selection, axis, metric, "valid"))


def confirmed(study: Study, selection: Selection, axis: str, metric: str) -> Evaluation | None:
    """The effect on the test prompts, once one asked for it: a button first, then as `measured`, in brief."""
    target = target_of(study, selection, axis, metric, "test")
    with st.container(border=True, key="confirm_card"):
        known = known_result(study, target)
        if not _is_done(known) and st.session_state.get("confirm") != _asked(target):
            st.button("Confirm on test prompts", on_click=_confirm, args=(target,), help=words.TERMS["split"])
            st.caption(words.CONFIRM)
            return None
        return _show(study, target)


def known_result(study: Study, target: Target) -> Evaluation | None:
    """What is known of the target: of all its streams where they are complete, else of the one that is shown first."""
    whole = known_effect(study, target)
    return whole if _is_done(whole) else known_effect(study, _shown_first(target))


def known_effect(study: Study, target: Target) -> Evaluation | None:
    """What is known of the target already; None also where the database cannot be read, which a request then says."""
    try:
        found = measured_set(study, target, identity=evaluation_identity(study))
    except InputError:
        return None
    return None if found is None else found.evaluation


def target_of(study: Study, selection: Selection, axis: str, metric: str, split: str) -> Target:
    """What is measured of a selection: the axis that is shown first, then the others that were scored by its metric."""
    axes = dict.fromkeys([axis, *measured_axes(study, metric)])
    streams = tuple(stream_of(each, metric) for each in axes)
    return Target(study.name, selection.pruned, streams, split, view()["compensate"])


def _confirm(target: Target) -> None:
    st.session_state["confirm"] = _asked(target)


def _asked(target: Target) -> tuple[str, ...]:
    """What was asked to be confirmed: a pruned model, on what is shown first."""
    return target.study, target.name, target.streams[0]


def _is_done(known: Evaluation | None) -> bool:
    return known is not None and known.done


def _shown_first(target: Target) -> Target:
    return replace(target, streams=target.streams[:1])


def _show(study: Study, target: Target) -> Evaluation | None:
    """Draw what is known of the target, and have measured what is not: first what is shown first, then the others."""
    known = known_result(study, target)
    if not _is_done(known):
        return _measure(study, _shown_first(target))
    whole = _is_done(known_effect(study, target))
    if not whole:
        _measure_others(study, target)
    elif target.split == "valid":
        _measure_ahead(target)
    _draw_known(known, target)
    return known


def _measure_others(study: Study, target: Target) -> None:
    """Have the other axes measured while the first one is shown, and say how far that is."""
    status = _status(target, counted=False)
    if status.state in UNFINISHED:
        st.fragment(_follow_others, run_every=POLL_S)(study, target)
        return
    if status.state == "done":
        status = EvaluationStatus("failed", CHANGED)
    _draw_status(status, None, target, words.OTHER_AXES)


def _follow_others(study: Study, target: Target) -> None:
    status = _status(target, counted=False)
    if status.state not in UNFINISHED:
        st.rerun()
    _draw_status(status, known_effect(study, target), target, words.OTHER_AXES)


def _measure(study: Study, target: Target) -> Evaluation | None:
    """Have the target measured. Meanwhile only this part of the page is drawn again, some times a second."""
    status = _status(target)
    if status.state in UNFINISHED:
        st.fragment(_follow, run_every=POLL_S)(study, target)
        return None
    known = known_effect(study, target)
    if status.state == "done" and not (known is not None and known.done):
        status = EvaluationStatus("failed", CHANGED)
    _draw(status, known, target)
    return known


def _follow(study: Study, target: Target) -> None:
    """Draw what has come in; once the measurement has ended, run the whole page, which then takes in the result."""
    status = _status(target)
    if status.state not in UNFINISHED:
        st.rerun()
    _draw(status, known_effect(study, target), target)


def _status(target: Target, *, counted: bool = True) -> EvaluationStatus:
    """How far the measurement is; it is requested if it was not yet, which is `counted` among those of a viewer."""
    try:
        client, asked = evaluation_client(), f"asked/{target.split}"
        if st.session_state.get(asked) == target:
            status = client.latest(_session(target))
            if status.state != "idle":
                return status
        if is_viewer() and counted:
            _take_turn(target)
        client.request(_session(target), target)
        st.session_state[asked] = target
        return client.latest(_session(target))
    except InputError as error:
        return EvaluationStatus("failed", str(error))


def _take_turn(target: Target) -> None:
    """Count one measurement of this visitor; raises InputError where the hour's are used up."""
    try:
        VISITORS.take(session_id())
    except InputError:
        log_event(cache_root(), SERVER, "evaluation refused", level="warning", study=target.study)
        raise


def _session(target: Target) -> str:
    """The session of the request: exploring and confirming on test are two, so that neither drops the other."""
    return session_id() if target.split == "valid" else f"{session_id()}/{target.split}"


def _measure_ahead(target: Target) -> None:
    """Have the model opened and measured intact, so that the next move is quick: this one needed neither."""
    ahead = replace(target, heads=())
    if is_viewer() or st.session_state.get("asked/valid") == ahead:
        return
    try:
        evaluation_client().request(_session(ahead), ahead)
        st.session_state["asked/valid"] = ahead
    except InputError:
        return


def _measure_again(split: str) -> None:
    st.session_state.pop(f"asked/{split}", None)


def _draw(status: EvaluationStatus, known: Evaluation | None, target: Target) -> None:
    """How far the measurement is, and what is known so far."""
    _draw_status(status, known, target)
    if known is not None:
        _draw_known(known, target)


def _draw_status(status: EvaluationStatus, known: Evaluation | None, target: Target, of: str = "") -> None:
    """How far the measurement is, or why it failed; what went wrong on the way. `of` says what is measured."""
    if status.state == "failed":
        st.error(f"The measurement failed: {plain(status.message)}")
        st.button("Measure again", on_click=_measure_again, args=(target.split,), key=f"again_{target.split}")
    elif status.message:
        st.warning(plain(status.message[:1].upper() + status.message[1:]) + "\\.")
    if status.state in UNFINISHED:
        size = f" · {measured_size(known.n_texts, known.n_readings, known.n_windows)} so far" if known else " …"
        st.progress(min(known.fraction_done, 1.0) if known else 0.0, of + UNFINISHED[status.state] + size)


def _draw_known(known: Evaluation, target: Target) -> None:
    shown = target.streams[0]
    draw_effects(known, axis_of(shown), metric_of(shown), brief=target.split == "test")
