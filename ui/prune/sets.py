"""All measured sets of a study: the plot of bias against perplexity, names and pins, and two side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

import pandas as pd
import streamlit as st

from fasp_core.access import is_viewer
from fasp_core.errors import InputError
from fasp_core.evaluation.comparable import Comparable, comparable_sets
from fasp_core.evaluation.history import MeasuredSet, measured_sets
from fasp_core.evaluation.keys import pruned_name
from fasp_core.evaluation.set_names import damaged_notes, name_set, pin_set
from fasp_core.evaluation.streams import axis_of, metric_of, stream_of
from fasp_core.figures import CHART_CONFIG, history_plot
from fasp_core.limits import MAX_SET_NAME
from fasp_core.selection.select_heads import Selection
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.pareto import pareto_front
from fasp_core.study.study import Study
from fasp_core.words.numbers import COUNTED, bias_by, bias_label, format_estimate, format_number
from fasp_core.words.spoken import some_heads
from ui import words
from ui.caches import evaluation_identity
from ui.columns import explained
from ui.prune.choice import choose_pruned
from ui.prune.effects import TEXT_MEASURES
from ui.text import plain
from ui.theme import dark
from ui.view import view

MOST_ROWS = 200
PROBLEM = "sets_problem"


def sets_panel(study: Study, axis: str, metric: str, selection: Selection) -> None:
    """Everything below the measured effect; drawn again by itself when one names, pins or compares."""
    try:
        stream, identity = stream_of(axis, metric), evaluation_identity(study)
        every = measured_sets(study, split="valid", stream=stream, identity=identity)
    except InputError as error:
        st.error(plain(error))
        return
    if problem := damaged_notes(study.folder.parent, study.name):
        st.warning(plain(problem))
    if problem := st.session_state.pop(PROBLEM, None):
        st.error(plain(problem))
    st.header(words.SETS, anchor=False)
    found = comparable_sets(every[:MOST_ROWS], axis, metric)
    if not (found.sets or found.others):
        st.caption(words.NO_SETS)
        return
    left, right = st.columns(2, gap="medium")
    with left:
        _plot(found, axis, metric, selection)
    with right:
        _keep(study, [*found.sets, *found.others], selection)
        _compare(sorted(found.sets, key=lambda s: not s.pinned), axis, metric, selection)


def _plot(found: Comparable, axis: str, metric: str, selection: Selection) -> None:
    """Bias against perplexity; a click opens a set. Sets that cannot be compared are apart, and never on the front."""
    sets = [*found.sets, *found.others]
    ppl = [s.evaluation.after.ppl for s in sets]
    bias = [s.evaluation.after.bias_by(metric)[axis] for s in sets]
    current = next((i for i, s in enumerate(sets) if s.target.name == shown_name(selection)), None)
    compared = len(found.sets)
    front = pareto_front([e.value for e in ppl[:compared]], [e.value for e in bias[:compared]])

    def open_set() -> None:
        points = st.session_state["history"]["selection"]["points"]
        if points and points[0]["curve_number"] == 0:
            choose_pruned(sets[points[0]["point_index"]].target)

    st.plotly_chart(
        history_plot(
            ppl,
            bias,
            [set_label(s) for s in sets],
            [*front, *[False] * len(found.others)],
            quantity=bias_by(axis, metric),
            before=None if found.intact is None else (found.intact.ppl, found.intact.bias_by(metric)[axis]),
            current=current,
            pinned=[s.pinned for s in sets],
            apart=[i >= compared for i in range(len(sets))],
            dark=dark(),
        ),
        key="history",
        theme=None,
        config={**CHART_CONFIG, "doubleClickDelay": 1},
        on_select=open_set,
        selection_mode="points",
        alt="Bias against perplexity of every measured set; the table holds the same numbers",
    )
    st.caption(f"{words.SETS_PLOT} {words.SETS_APART}" if found.others else words.SETS_PLOT)
    with st.expander("Show as table"):
        rows = [
            {
                "set": set_label(s),
                "heads": len(s.target.heads),
                "in their place": words.COMPENSATIONS[s.target.compensate].lower(),
                "perplexity": format_estimate(p.value, p.se),
                bias_by(axis, metric): format_estimate(b.value, b.se),
                COUNTED[metric][1]: b.n,
                "compared": "yes"
                if i < compared
                else f"no, other {COUNTED[metric][1]}"
                if s.evaluation.done
                else "no, incomplete",
            }
            for i, (s, p, b) in enumerate(zip(sets, ppl, bias, strict=True))
        ]
        table = pd.DataFrame(rows)
        st.dataframe(table, hide_index=True, height=220, column_config=explained(table))


def _keep(study: Study, found: list[MeasuredSet], selection: Selection) -> None:
    """Name and pin of the set that is shown."""
    shown = next((s for s in found if s.target.name == shown_name(selection)), None)
    if shown is None or is_viewer():
        return
    name_key, pin_key = (f"{what}.{hash(shown.target.name)}" for what in ("name", "pin"))

    def note(take: Callable[..., None], key: str) -> None:
        try:
            take(study, shown.target.heads, st.session_state[key], compensate=shown.target.compensate)
        except InputError as error:
            st.session_state[PROBLEM] = str(error)

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Name of this set",
            shown.name,
            key=name_key,
            max_chars=MAX_SET_NAME,
            on_change=note,
            args=(name_set, name_key),
        )
        st.toggle(
            "Pin",
            shown.pinned,
            key=pin_key,
            on_change=note,
            args=(pin_set, pin_key),
            help="Pinned sets come first and carry a star.",
        )


def _compare(found: list[MeasuredSet], axis: str, metric: str, selection: Selection) -> None:
    """Two sets side by side, measured with the same prompts and noise."""
    if len(found) < 2:
        return
    labels = {s.target.name: set_label(s) for s in found}
    by_name = {s.target.name: s for s in found}
    shown = name if (name := shown_name(selection)) in by_name else found[0].target.name
    other = next(s.target.name for s in found if s.target.name != shown)
    columns = st.columns(2)
    pair = [
        by_name[column.selectbox(name, list(labels), list(labels).index(at), format_func=labels.get, key=f"pair_{i}")]
        for i, (column, name, at) in enumerate(zip(columns, ("Compare", "with"), (shown, other), strict=True))
    ]
    both = len({*pair[0].target.heads} & {*pair[1].target.heads})
    rows: list[tuple[str, str, str]] = [("heads pruned", *(f"{len(s.target.heads):,} ({both} in both)" for s in pair))]
    rows.append(("perplexity", *(_cell(s.evaluation.after.ppl, s.evaluation.change.ppl) for s in pair)))
    for stream in dict.fromkeys([stream_of(axis, metric), *pair[0].target.streams]):
        name, by = axis_of(stream), metric_of(stream)
        if all(name in s.evaluation.after.axes_by(by) for s in pair):
            biases = [[part.bias_by(by)[name] for part in (s.evaluation.after, s.evaluation.change)] for s in pair]
            rows.append((plain(bias_label(name, by)), *(_cell(*each) for each in biases)))
    for key, name in TEXT_MEASURES.items():
        if all(key in s.evaluation.after.degeneration for s in pair):
            cells = [_cell(s.evaluation.after.degeneration[key], s.evaluation.change.degeneration[key]) for s in pair]
            rows.append((name, *cells))
    names = [set_label(s) for s in pair]
    if names[0] == names[1]:
        st.caption("The same set twice: choose another one.")
        return
    st.table(pd.DataFrame(rows, columns=["", *map(plain, names)]), hide_index=True, alt="The two sets side by side")
    st.caption("After pruning, and in brackets the change from the intact model, ± one standard error.")


def shown_name(selection: Selection) -> str:
    """The name of the pruned model that the page shows."""
    return pruned_name(selection.pruned, view()["compensate"])


def set_label(found: MeasuredSet) -> str:
    """What a set is called: its name, else its size and when it was measured."""
    when = datetime.fromtimestamp(found.changed).strftime("%d %b %H:%M:%S")
    how = f", {words.COMPENSATED[found.target.compensate]}" if found.target.compensate != "none" else ""
    name = found.name or f"{some_heads(len(found.target.heads))}{how}, {when}"
    return name if found.evaluation.done else f"{name}, {100 * found.evaluation.fraction_done:.0f}\u00a0% measured"


def _cell(after: Estimate, change: Estimate) -> str:
    if not math.isfinite(after.value):
        return "…"
    return f"{format_number(after.value, after.se)} ({format_estimate(change.value, change.se, signed=True)})"
