"""Correlations: do the heads that drive one bias drive the others too, and is that more than a few critical heads?"""

import shlex

import numpy as np
import pandas as pd
import streamlit as st

from fasp_core.errors import InputError
from fasp_core.figures import axis_scatter_matrix, correlation_matrix
from fasp_core.head import Head, flat_id, head_text, parse_head
from fasp_core.selection.correlations import AxisCorrelations
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.select_heads import protected_heads
from fasp_core.study.study import Study, list_studies
from fasp_core.words.captions import describe_correlations
from fasp_core.words.numbers import BY, axis_label, format_estimate, format_fixed
from ui import words
from ui.caches import correlations, named_study
from ui.charts import draw
from ui.columns import explained
from ui.correlations.agreement import agreement_panel
from ui.example import example_button
from ui.page import chosen_head, gamma_slider, metric_of, metric_picker, pick_heads, start_page
from ui.prune.choice import follow_rule
from ui.text import axis_text, plain
from ui.theme import dark
from ui.verdict import has_clear_bias
from ui.view import EndOfPage, address_of_view, bound, bound_value, choose, view


def switches(study: Study) -> None:
    """Method, heads, correction, γ, and a study to compare with."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.segmented_control(
            "Correlation",
            list(words.CORRELATIONS),
            format_func=words.CORRELATIONS.get,
            required=True,
            width="content",
            help=words.TERMS["pearson"],
            **bound("correlation"),
        )
        st.segmented_control(
            "Over",
            list(words.AMONG),
            format_func=words.AMONG.get,
            required=True,
            width="content",
            help=words.TERMS["unprotected"],
            **bound("among"),
        )
        st.toggle(
            "Corrected for noise",
            width="content",
            **bound_value("corrected"),
            help=words.TERMS["attenuation"],
        )
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        gamma_slider(moved=follow_rule, width=260)
        others = [name for name in list_studies() if name != study.name]
        if view()["beside"] not in ("", *others):
            choose("beside", "")
        if others:
            st.selectbox(
                "Compare with study",
                ["", *others],
                format_func=lambda name: name or "no other study",
                width=260,
                **bound("beside"),
            )


def matrix(study: Study, scores: HeadScores, place: str) -> None:
    """The matrix of one study, as a chart and as a table, with what stands in the way of it."""
    found = correlations(study, scores, view()["correlation"], view()["among"], view()["gamma"], view()["corrected"])
    st.markdown(
        f"**{plain(study.name)}** · {BY[metric_of(scores)]} · {found.n_heads:,} of {scores.n_heads:,} heads",
        help=words.TERMS["unprotected"],
    )
    draw(
        correlation_matrix(found, dark=dark()),
        key=f"matrix_{place}",
        filename=f"correlations.{study.name}",
        alt=f"Correlations between the biases of {study.name}; the table below holds them with intervals.",
    )
    st.caption(words.MATRIX)
    for note in found.notes:
        st.caption(plain(note))
    with st.expander("Show as table"):
        table = as_table(found)
        st.dataframe(
            table,
            hide_index=True,
            column_config=explained(table),
            alt="Correlation of every two axes with its 95 % interval",
        )
        st.download_button(
            "Download correlations (CSV)",
            table.to_csv(index=False),
            f"correlations.{study.name}.csv",
            "text/csv",
            key=f"csv_{place}",
        )


def as_table(found: AxisCorrelations) -> pd.DataFrame:
    """One row per pair of axes."""
    rows, columns = np.triu_indices(len(found.axes), 1)
    return pd.DataFrame(
        {
            "axis": [axis_label(found.axes[i]) for i in rows],
            "other axis": [axis_label(found.axes[j]) for j in columns],
            "r": [format_fixed(r, 2) if np.isfinite(r) else "–" for r in found.r[rows, columns]],
            "95 % interval": [
                f"{format_fixed(low, 2)} to {format_fixed(high, 2)}" if np.isfinite(low) else "–"
                for low, high in zip(found.low[rows, columns], found.high[rows, columns], strict=True)
            ],
        }
    )


def axis_against_axis(scores: HeadScores) -> None:
    """The scatter matrix behind the numbers; a click on a point shows its head and the way to it."""
    kept = np.ones(scores.n_heads, bool)
    kept[protected_heads(scores, view()["gamma"])] = False
    shown = kept if view()["among"] == "unprotected" else np.ones_like(kept)
    draw(
        axis_scatter_matrix(
            {axis: scores.z_bias(axis) for axis in scores.axes},
            kept,
            shown,
            heads_per_layer=scores.heads_per_layer,
            dark=dark(),
        ),
        key="scatter_matrix",
        filename="scatter_matrix",
        alt="z_bias of every two axes against each other, one point per head; the CSV of the Heads page holds them.",
        on_select=lambda: pick_heads("scatter_matrix", _head_of),
    )
    head = chosen_head(scores)
    if head is None:
        st.caption(words.CLICK_A_POINT)
        return
    flat = flat_id(head, scores.heads_per_layer)
    biases = [
        f"{axis_label(axis)} {format_estimate(scores.z_bias(axis)[flat], scores.z_bias_se(axis)[flat], signed=True)}"
        for axis in scores.axes
    ]
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"**Head {head_text(head)}**, z_bias: {plain(', '.join(biases))}")
        st.page_link("pages/heads.py", label="Open on the page Heads", query_params=address_of_view())


def _head_of(point: dict) -> Head | None:
    """The head of a clicked point."""
    name = point.get("customdata")
    return parse_head(name if isinstance(name, str) else name[0]) if name else None


def another_axis(study: Study, axis: str) -> str:
    """The command that adds an axis to a study."""
    model = shlex.quote(study.manifest.model.get("ref") or "MODEL")
    return f"fasp score {model} --name {study.name} --axes {axis}"


study, scores = start_page("Correlations")
example_button()
if len(scores.axes) < 2:
    st.info(f"Correlations need at least two axes, and this study has {'one' if scores.axes else 'none'}.")
    if lacking := [axis for axis in (study.prompts.axes if study.has_model else ()) if axis not in scores.axes]:
        st.markdown("Measure another one, on the page Studies or on the command line:")
        st.code(another_axis(study, lacking[0]), language=None)
    if scores.axes:
        agreement_panel(study, scores)
    raise EndOfPage
metric_picker(study, scores)
switches(study)
try:
    method, gamma, corrected = view()["correlation"], view()["gamma"], view()["corrected"]
    both = [correlations(study, scores, method, among, gamma, corrected) for among in words.AMONG]
    st.markdown(plain(describe_correlations(*both)))
    unclear = [axis_text(axis) for axis in scores.axes if not has_clear_bias(scores, axis)]
    for caveat in words.correlation_caveats(unclear, metric_of(scores)):
        st.caption(caveat)
    if not view()["beside"]:
        left, right = st.columns([5, 6], gap="medium")
        with left:
            matrix(study, scores, "left")
        with right:
            st.markdown(f"**{words.AXIS_AGAINST_AXIS}**", help=words.TERMS["z_bias"])
            axis_against_axis(scores)
    else:
        beside, its_scores = named_study(view()["beside"])
        if metric_of(its_scores) != metric_of(scores):
            st.warning(words.OTHER_MEASURE)
        left, right = st.columns(2, gap="medium")
        with left:
            matrix(study, scores, "left")
        with right:
            matrix(beside, its_scores, "right")
        st.header(words.AXIS_AGAINST_AXIS, anchor=False, help=words.TERMS["z_bias"])
        axis_against_axis(scores)
    agreement_panel(study, scores)
except (InputError, FileNotFoundError) as error:
    st.error(plain(error))
