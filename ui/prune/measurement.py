"""The measured effect of a selection: what is known at once, else asked of the evaluation service while it fills in.

What was measured before is shown by the page's own process, without the service. A request goes out when the selection
changes, never by looking: a failed one is asked again only by its button. A result is shown only with the heads it was
measured for.
"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from fasp_core.errors import InputError
from fasp_core.estimates import Evaluation
from fasp_core.history import MeasuredSet, measured_set
from fasp_core.jobs import EvaluationStatus
from fasp_core.selection import Head, Selection
from fasp_core.study import Study

from .effects import draw_effects
from .state import session_id
from .studies import evaluation_client, evaluation_identity
from .text import plain

POLL_S = 0.6
UNFINISHED = {
    "queued": "Waiting for its turn",
    "starting": "Opening the model; this takes some seconds, once",
    "running": "Measuring",
}


@dataclass(frozen=True)
class Wish:
    """What is to be measured. `slot` keeps wishes of one session apart: exploring, and confirming on test."""

    study: str
    pruned: tuple[Head, ...]
    axes: tuple[str, ...]
    split: str

    @property
    def slot(self) -> str:
        """The name of the session's request."""
        return session_id() if self.split == "valid" else f"{session_id()}/{self.split}"


def measured(study: Study, selection: Selection, axis: str) -> Evaluation | None:
    """The selection's effect on the valid prompts, on all axes: shown as far as it is known, measured further.

    Returns it once it is complete. While it is not, only this part of the page is drawn again, some times a second.
    """
    axes = (axis, *(a for a in study.axes if a != axis))
    wish = Wish(study.name, selection.pruned, axes, "valid")
    known = known_effect(study, wish)
    if known is not None and known.evaluation.done:
        _measure_ahead(study, wish)
        _draw(EvaluationStatus("done", known.evaluation), wish, axis)
        return known.evaluation
    status = _status(wish)
    if status.state in UNFINISHED:
        st.fragment(_follow, run_every=POLL_S)(wish, axis, known and known.evaluation)
        return None
    _draw(status, wish, axis)
    return _result_of(status, wish)


def confirmed(study: Study, selection: Selection, axis: str) -> Evaluation | None:
    """The effect on the test prompts, if one asked for it: a button first, then as `measured`, in brief."""
    wish = Wish(study.name, selection.pruned, (axis, *(a for a in study.axes if a != axis)), "test")
    known = known_effect(study, wish)
    asked = st.session_state.get("confirm") == (wish.study, wish.pruned)
    with st.container(border=True, key="confirm_card"):
        if known is not None and known.evaluation.done:
            draw_effects(known.evaluation, axis, brief=True)
            return known.evaluation
        if not asked:
            st.button("Confirm on test prompts", on_click=_confirm, args=(wish,))
            st.caption("Heads were chosen, and sets compared, on valid prompts. A claim needs prompts that had no say.")
            return None
        status = _status(wish)
        if status.state in UNFINISHED:
            st.fragment(_follow_confirmation, run_every=POLL_S)(wish, axis)
            return None
        _draw(status, wish, axis, brief=True)
        return _result_of(status, wish)


def known_effect(study: Study, wish: Wish) -> MeasuredSet | None:
    """What is known of the wish already; None also where the database cannot be read, which asking then says."""
    try:
        return measured_set(study, wish.pruned, wish.axes, wish.split, identity=evaluation_identity(study))
    except InputError:
        return None


def _confirm(wish: Wish) -> None:
    st.session_state["confirm"] = (wish.study, wish.pruned)


def _status(wish: Wish) -> EvaluationStatus:
    """How far the measurement has come; it is asked for if it was not yet."""
    try:
        client, asked = evaluation_client(), f"asked/{wish.split}"
        if st.session_state.get(asked) == wish:
            status = client.latest(wish.slot)
            if status.state != "idle":
                return status
        client.request(wish.slot, wish.study, wish.pruned, wish.axes, wish.split)
        st.session_state[asked] = wish
        return client.latest(wish.slot)
    except InputError as error:
        return EvaluationStatus("failed", message=str(error))


def _measure_ahead(study: Study, wish: Wish) -> None:
    """Have the model opened, and the intact one measured, for the next move: this one needed neither."""
    ahead = Wish(wish.study, (), wish.axes, wish.split)
    if st.session_state.get("asked/valid") == ahead:
        return
    try:
        evaluation_client().request(ahead.slot, ahead.study, ahead.pruned, ahead.axes, ahead.split)
        st.session_state["asked/valid"] = ahead
    except InputError:
        return


def _ask_again(split: str) -> None:
    st.session_state.pop(f"asked/{split}", None)


def _follow(wish: Wish, axis: str, known: Evaluation | None) -> None:
    """Draw what has come in; once the measurement has ended, run the whole page, which then takes in the result."""
    status = _status(wish)
    if status.state not in UNFINISHED:
        st.rerun()
    if status.evaluation is None and known is not None:
        status = EvaluationStatus(status.state, known, status.message)
    _draw(status, wish, axis)


def _follow_confirmation(wish: Wish, axis: str) -> None:
    status = _status(wish)
    if status.state not in UNFINISHED:
        st.rerun()
    _draw(status, wish, axis, brief=True)


def _draw(status: EvaluationStatus, wish: Wish, axis: str, *, brief: bool = False) -> None:
    evaluation = _result_of(status, wish)
    _progress(status, evaluation, wish)
    if evaluation is not None:
        draw_effects(evaluation, axis, brief=brief)


def _result_of(status: EvaluationStatus, wish: Wish) -> Evaluation | None:
    result = status.evaluation
    matches = result is not None and (tuple(result.pruned), result.split) == (wish.pruned, wish.split)
    return result if matches else None


def _progress(status: EvaluationStatus, evaluation: Evaluation | None, wish: Wish) -> None:
    """How far the measurement is: a bar while it runs, or why it failed; and what went wrong on the way."""
    if status.state == "failed":
        st.error(f"The measurement failed: {plain(status.message)}")
        st.button("Measure again", on_click=_ask_again, args=(wish.split,), key=f"again_{wish.split}")
        return
    if status.message:
        st.warning(plain(status.message[:1].upper() + status.message[1:]) + "\\.")
    if status.state in UNFINISHED:
        size = f" · {evaluation.n_texts:,} texts, {evaluation.n_windows} text windows so far" if evaluation else " …"
        st.progress(min(evaluation.fraction_done, 1.0) if evaluation else 0.0, UNFINISHED[status.state] + size)
