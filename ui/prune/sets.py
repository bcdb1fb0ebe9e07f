"""All measured sets of a study: the plot of bias against perplexity, names and pins, and two side by side."""

from __future__ import annotations

import math
from datetime import datetime

import pandas as pd
import streamlit as st

from fasp_core.errors import InputError
from fasp_core.estimates import Estimate
from fasp_core.figures import CHART_CONFIG, history_plot
from fasp_core.history import LONGEST_NAME, MeasuredSet, measured_sets, name_set, pareto_front, pin_set
from fasp_core.numbers import axis_label, format_estimate, format_number
from fasp_core.selection import Selection
from fasp_core.study import Study

from .parts import dark
from .state import choose
from .studies import evaluation_identity
from .text import plain

MOST_ROWS = 200
METRICS = {"repetition": "repeated word pairs", "distinct_bigrams": "distinct word pairs"}


def sets_panel(study: Study, axis: str, selection: Selection) -> None:
    """Everything below the measured effect; drawn again by itself when one names, pins or compares."""
    try:
        every = measured_sets(study, split="valid", identity=evaluation_identity(study))
    except InputError as error:
        st.error(plain(error))
        return
    found = [s for s in every if axis in s.evaluation.after.bias]
    st.subheader("Measured sets", anchor=False)
    if not found:
        st.caption("Every set that is measured appears here, to be kept, named and compared.")
        return
    found = sorted(found[:MOST_ROWS], key=lambda s: not s.pinned)
    left, right = st.columns(2, gap="medium")
    with left:
        _plot(found, axis, selection)
    with right:
        _keep(study, found, selection)
        _compare(found, axis, selection)


def _plot(found: list[MeasuredSet], axis: str, selection: Selection) -> None:
    """Bias against perplexity; a click opens a set."""
    ppl = [s.evaluation.after.ppl for s in found]
    bias = [s.evaluation.after.bias[axis] for s in found]
    current = next((i for i, s in enumerate(found) if s.pruned == selection.pruned), None)
    first = found[0].evaluation.before

    def open_set() -> None:
        points = st.session_state["history"]["selection"]["points"]
        if points and points[0]["curve_number"] == 0:
            choose("heads", found[points[0]["point_index"]].pruned)

    st.plotly_chart(
        history_plot(
            ppl, bias, [set_label(s) for s in found], pareto_front([e.value for e in ppl], [e.value for e in bias]),
            before=(first.ppl, first.bias[axis]), current=current, pinned=[s.pinned for s in found], dark=dark(),
        ),
        key="history", theme=None, config={**CHART_CONFIG, "doubleClickDelay": 1}, on_select=open_set,
        selection_mode="points", alt="Bias against perplexity of every measured set; the table holds the same numbers",
    )  # fmt: skip
    st.caption(
        "Each point is a measured set; lower left is better. The dotted line joins those that no other one beats in "
        "both (Pareto front). A click opens a set. Errors of neighbours are related: they share prompts and noise."
    )
    with st.expander("The same as a table"):
        st.dataframe(pd.DataFrame([
            {"set": set_label(s), "heads": len(s.pruned), "perplexity": format_estimate(p.value, p.se),
             "bias": format_estimate(b.value, b.se), "measured": f"{100 * s.evaluation.fraction_done:.0f} %"}
            for s, p, b in zip(found, ppl, bias, strict=True)
        ]), hide_index=True, height=220)  # fmt: skip


def _keep(study: Study, found: list[MeasuredSet], selection: Selection) -> None:
    """Name and pin of the set that is shown."""
    shown = next((s for s in found if s.pruned == selection.pruned), None)
    if shown is None:
        return
    name_key, pin_key = (f"{what}.{hash(shown.pruned)}" for what in ("name", "pin"))

    def take_name() -> None:
        name_set(study, shown.pruned, st.session_state[name_key])

    def take_pin() -> None:
        pin_set(study, shown.pruned, st.session_state[pin_key])

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Name of this set", shown.name, key=name_key, max_chars=LONGEST_NAME, on_change=take_name)
        st.toggle("Pin", shown.pinned, key=pin_key, on_change=take_pin, help="Pinned sets carry a star, on top.")


def _compare(found: list[MeasuredSet], axis: str, selection: Selection) -> None:
    """Two sets side by side, measured with the same prompts and noise."""
    if len(found) < 2:
        return
    labels = {s.pruned: set_label(s) for s in found}
    by_heads = {s.pruned: s for s in found}
    shown = selection.pruned if selection.pruned in by_heads else found[0].pruned
    other = next(s.pruned for s in found if s.pruned != shown)
    columns = st.columns(2)
    pair = [
        by_heads[column.selectbox(name, list(labels), list(labels).index(at), format_func=labels.get, key=f"pair_{i}")]
        for i, (column, name, at) in enumerate(zip(columns, ("Compare", "with"), (shown, other), strict=True))
    ]
    both = len({*pair[0].pruned} & {*pair[1].pruned})
    rows: list[tuple[str, str, str]] = [("heads pruned", *(f"{len(s.pruned):,} ({both} in both)" for s in pair))]
    rows.append(("perplexity", *(_cell(s.evaluation.after.ppl, s.evaluation.change.ppl) for s in pair)))
    for name in [axis, *(a for a in pair[0].axes if a != axis)]:
        if all(name in s.evaluation.after.bias for s in pair):
            cells = [_cell(s.evaluation.after.bias[name], s.evaluation.change.bias[name]) for s in pair]
            rows.append((f"bias · {plain(axis_label(name))}", *cells))
    for key, words in METRICS.items():
        if all(key in s.evaluation.after.degeneration for s in pair):
            cells = [_cell(s.evaluation.after.degeneration[key], s.evaluation.change.degeneration[key]) for s in pair]
            rows.append((words, *cells))
    names = [set_label(s) for s in pair]
    if names[0] == names[1]:
        st.caption("The same set twice: choose another one.")
        return
    st.table(pd.DataFrame(rows, columns=["", *map(plain, names)]), hide_index=True, alt="The two sets side by side")
    st.caption("After pruning, and in brackets the change from the intact model, ± one standard error.")


def set_label(found: MeasuredSet) -> str:
    """What a set is called: its name, else its size and when it was measured."""
    when = datetime.fromtimestamp(found.changed).strftime("%H:%M:%S")
    return found.name or f"{len(found.pruned)} heads, {when}"


def _cell(after: Estimate, change: Estimate) -> str:
    if not math.isfinite(after.value):
        return "…"
    return f"{format_number(after.value, after.se)} ({format_estimate(change.value, change.se, signed=True)})"
