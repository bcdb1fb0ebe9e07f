"""The measured effect of a selection: asked of the evaluation service, looked at while it fills in.

The request goes out when the selection changes, never by looking: a failed one is asked again only by its button.
A result is shown only with the heads it was measured for.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from fasp_core.captions import change_verdict
from fasp_core.errors import InputError
from fasp_core.estimates import Estimate, Evaluation
from fasp_core.figures import CHART_CONFIG, effect_intervals, group_bars
from fasp_core.jobs import EvaluationStatus
from fasp_core.numbers import MINUS, format_estimate, format_interval, format_number
from fasp_core.selection import Selection
from fasp_core.summaries import Predicted, Prediction

from .parts import dark
from .state import rerun, session_id
from .studies import evaluation_client
from .text import plain

SPLIT = "valid"  # while exploring; claims are made on the test prompts
POLL_S = 0.5
UNFINISHED = {
    "queued": "Waiting for its turn",
    "starting": "Opening the model; this takes some seconds, once",
    "running": "Measuring",
}


def measured(study: str, selection: Selection, axis: str, prediction: Prediction) -> Evaluation | None:
    """Ask for the selection's effect and show it next to its prediction; returns the result once it is complete.

    While it is incomplete only this part of the page is drawn again, twice a second.
    """
    try:
        status = _status(study, selection, axis)
    except InputError as error:
        status = EvaluationStatus("failed", message=str(error))
    if status.state in UNFINISHED:
        st.fragment(_follow, run_every=POLL_S)(study, selection, axis, prediction)
        return None
    _draw(status, selection, axis, prediction)
    return _result_of(status, selection)


def _status(study: str, selection: Selection, axis: str) -> EvaluationStatus:
    """How far the measurement has come; it is asked for if it was not yet."""
    client, wish = evaluation_client(), (study, selection.pruned, axis)
    if st.session_state.get("asked") == wish:
        status = client.latest(session_id())
        if status.state != "idle":
            return status
    client.request(session_id(), study, selection.pruned, [axis], SPLIT)
    st.session_state["asked"] = wish
    return client.latest(session_id())


def _ask_again() -> None:
    st.session_state.pop("asked", None)


def _follow(study: str, selection: Selection, axis: str, prediction: Prediction) -> None:
    """Draw what has come in; once the measurement has ended, run the whole page, which then takes in the result."""
    try:
        status = _status(study, selection, axis)
    except InputError:
        rerun()
    if status.state not in UNFINISHED:
        rerun()
    _draw(status, selection, axis, prediction)


def _draw(status: EvaluationStatus, selection: Selection, axis: str, prediction: Prediction) -> None:
    evaluation = _result_of(status, selection)
    _progress(status, evaluation)
    ppl = bias = None
    if evaluation is not None:
        parts = (evaluation.before, evaluation.after, evaluation.change)
        ppl = tuple(part.ppl for part in parts)
        bias = tuple(part.bias[axis] for part in parts) if axis in evaluation.after.bias else None
    _effect("Perplexity", prediction.ppl, ppl)
    _effect("Bias", prediction.bias, bias)
    st.caption(
        "The prediction adds up the scores of the pruned heads, each measured alone; the measurement prunes them "
        "together. Before and after share prompts and random numbers, so the error of the change is that of pairs."
    )
    if evaluation is not None and axis in evaluation.after.groups:
        _groups(*(part.groups[axis] for part in parts))


def _result_of(status: EvaluationStatus, selection: Selection) -> Evaluation | None:
    result = status.evaluation
    return result if result is not None and tuple(result.pruned) == selection.pruned else None


def _progress(status: EvaluationStatus, evaluation: Evaluation | None) -> None:
    """How far the measurement is: a bar while it runs, one line afterwards, or why it failed."""
    size = f"{evaluation.n_texts:,} texts, {evaluation.n_windows} text windows" if evaluation else ""
    if status.state == "failed":
        st.error(f"The measurement failed: {plain(status.message)}")
        st.button("Measure again", on_click=_ask_again)
    elif status.state in UNFINISHED:
        fraction = evaluation.fraction_done if evaluation else 0.0
        st.progress(min(fraction, 1.0), UNFINISHED[status.state] + (f" · {size} so far" if size else " …"))
    elif evaluation:
        st.caption(f"Measured on {size} · {evaluation.split} prompts · intervals are 95\u00a0%")


def _effect(name: str, predicted: Predicted, measured: tuple[Estimate, Estimate, Estimate] | None) -> None:
    """One metric, predicted and as measured so far: before → after, the change, and what can be said of it."""
    with st.container(border=True, gap="small", key=f"card_{name.lower()}"):
        st.markdown(f"**{name}**")
        with st.container(horizontal=True, gap="medium"):
            st.metric("Predicted", *_predicted_texts(predicted), delta_color="off", delta_arrow="off", width=150)
            if measured is None:
                before, after, verdict = predicted.before, None, "Not measured yet."
                st.metric("Measured", "…", delta="…", delta_color="off", delta_arrow="off", width=150)
            else:
                before, after, change = measured
                verdict = change_verdict(name, change)
                st.metric(
                    "Measured", f"{format_number(before.value, before.se)} → {format_number(after.value, after.se)}",
                    delta=_delta(format_estimate(change.value, change.se, signed=True)), width=150,
                    delta_color="off" if change.low <= 0 <= change.high else "inverse",
                )  # fmt: skip
        if before is not None:
            st.plotly_chart(
                effect_intervals(before, after, None if predicted.impossible else predicted.after, dark=dark()),
                theme=None, config=CHART_CONFIG, key=f"interval_{name}", alt=_interval_words(name, before, after),
            )  # fmt: skip
        st.markdown(verdict)
        if predicted.impossible:
            st.caption(f"The scores add up to more {name.lower()} than there is: much of them is noise.")


def _predicted_texts(predicted: Predicted) -> tuple[str, str]:
    """Value and change of a prediction."""
    change, before, after = format_number(predicted.change, signed=True), predicted.before, predicted.after
    if before is None or after is None:
        return change, "change"
    if predicted.impossible:
        return change, "more than there is"
    return f"{format_number(before.value, before.se)} → {format_number(after, before.se)}", _delta(change)


def _interval_words(name: str, before: Estimate, after: Estimate | None) -> str:
    words = f"{name} before pruning: {format_interval(before.low, before.high)}"
    return (
        words
        + (f", measured after it: {format_interval(after.low, after.high)}" if after else "")
        + " (95 % intervals)"
    )


def _delta(text: str) -> str:
    """streamlit takes a delta for a fall only if it starts with a plain hyphen."""
    return text.replace(MINUS, "-")


def _groups(before: dict[str, Estimate], after: dict[str, Estimate], change: dict[str, Estimate]) -> None:
    """Mean toxicity of each group, as bars and as a table."""
    st.markdown("**Toxicity by group**")
    st.plotly_chart(
        group_bars(before, after, dark=dark()), theme=None, config=CHART_CONFIG, key="groups",
        alt="Mean toxicity of each group before and after pruning; the table below holds the numbers.",
    )  # fmt: skip
    with st.expander("The same as a table"):
        columns = {"before": before, "after": after, "change": change}
        st.dataframe(pd.DataFrame({
            "group": [group.replace("_", " ") for group in before],
            "texts": [estimate.n for estimate in after.values()],
            **{name: [format_estimate(estimates[g].value, estimates[g].se, signed=name == "change") for g in before]
               for name, estimates in columns.items()},
        }), hide_index=True)  # fmt: skip
        st.caption("± is one standard error.")
