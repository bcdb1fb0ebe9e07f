"""Correlations: do the heads that drive one bias drive the others too, and is that more than a few critical heads?"""

import numpy as np
import pandas as pd
import streamlit as st

from fasp_core.captions import describe_correlations
from fasp_core.correlations import AxisCorrelations
from fasp_core.errors import InputError
from fasp_core.figures import axis_scatter_matrix, correlation_matrix
from fasp_core.head_scores import HeadScores
from fasp_core.numbers import axis_label, format_fixed
from fasp_core.selection import protected_heads
from fasp_core.study import Study, list_studies
from ui.charts import draw
from ui.details import correlations
from ui.parts import dark, metric_picker, start_page
from ui.state import EndOfPage, bound, bound_value, choose, view
from ui.studies import named_study
from ui.text import plain

METHODS = {"pearson": "Pearson (values)", "spearman": "Spearman (ranks)"}
HEADS = {"all": "all heads", "unprotected": "unprotected heads"}


def switches(study: Study) -> None:
    """Method, heads, correction, γ, and a study to compare with."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.segmented_control("Correlation", list(METHODS), format_func=METHODS.get, required=True, width="content",
                             **bound("correlation"))  # fmt: skip
        st.segmented_control("Over", list(HEADS), format_func=HEADS.get, required=True, width="content",
                             **bound("among"))  # fmt: skip
        st.toggle(
            "Corrected for noise", width="content", **bound_value("corrected"),
            help="Noise of the scores makes any correlation smaller. This divides by the square root of the two "
            "reliabilities.",
        )  # fmt: skip
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.slider("γ · share to protect", 0.0, 1.0, step=0.01, width=260, **bound_value("gamma"))
        others = [name for name in list_studies() if name != study.name]
        if view()["beside"] not in ("", *others):
            choose("beside", "")
        if others:
            st.selectbox("Next to it", ["", *others], format_func=lambda name: name or "no other study", width=260,
                         **bound("beside"))  # fmt: skip


def matrix(study: Study, scores: HeadScores, place: str) -> None:
    """The matrix of one study, as a chart and as a table, with what stands in the way of it."""
    found = correlations(study, scores, view()["correlation"], view()["among"], view()["gamma"], view()["corrected"])
    st.markdown(f"**{plain(study.name)}** · {found.n_heads:,} of {scores.n_heads:,} heads")
    draw(
        correlation_matrix(found, dark=dark()), key=f"matrix_{place}", filename=f"correlations.{study.name}",
        alt=f"Correlations between the biases of {study.name}; the table below holds them with intervals.",
    )  # fmt: skip
    st.caption("Below the diagonal the correlation, above it its 95\u00a0% interval; faded where that includes 0.")
    for note in found.notes:
        st.caption(plain(note))
    with st.expander("The same as a table"):
        table = as_table(found)
        st.dataframe(table, hide_index=True, alt="Correlation of every two axes with its 95 % interval")
        st.download_button("Download (CSV)", table.to_csv(index=False), f"correlations.{study.name}.csv", "text/csv",
                           key=f"csv_{place}")  # fmt: skip


def as_table(found: AxisCorrelations) -> pd.DataFrame:
    """One row per pair of axes."""
    rows, columns = np.triu_indices(len(found.axes), 1)
    return pd.DataFrame({
        "axis": [axis_label(found.axes[i]) for i in rows], "with": [axis_label(found.axes[j]) for j in columns],
        "r": [format_fixed(r, 2) if np.isfinite(r) else "–" for r in found.r[rows, columns]],
        "95 % interval": [
            f"{format_fixed(low, 2)} to {format_fixed(high, 2)}" if np.isfinite(low) else "–"
            for low, high in zip(found.low[rows, columns], found.high[rows, columns], strict=True)
        ],
    })  # fmt: skip


def heads_themselves(scores: HeadScores) -> None:
    """The scatter matrix behind the numbers."""
    kept = np.ones(scores.n_heads, bool)
    kept[protected_heads(scores, view()["gamma"])] = False
    shown = kept if view()["among"] == "unprotected" else np.ones_like(kept)
    draw(
        axis_scatter_matrix({axis: scores.z_bias(axis) for axis in scores.axes}, kept, shown, dark=dark()),
        key="scatter_matrix", filename="scatter_matrix",
        alt="z_bias of every two axes against each other, one point per head; the CSV of the Heads page holds them.",
    )  # fmt: skip


study, scores = start_page("Correlations")
if len(scores.axes) < 2:
    st.info("Correlations need at least two axes, and this study has "
            f"{'one' if scores.axes else 'none'}. Measure another one, for example religion:")  # fmt: skip
    st.code(f"python -m fasp_core score MODEL --axes {','.join([*scores.axes, 'religion'])}", language="bash")
    raise EndOfPage
metric_picker(study, scores)
switches(study)
try:
    method, gamma, corrected = view()["correlation"], view()["gamma"], view()["corrected"]
    both = [correlations(study, scores, method, among, gamma, corrected) for among in HEADS]
    st.markdown(describe_correlations(*both))
    if not view()["beside"]:
        left, right = st.columns([5, 6], gap="medium")
        with left:
            matrix(study, scores, "left")
        with right:
            st.markdown("**The heads themselves** · z_bias of one axis against another")
            heads_themselves(scores)
    else:
        left, right = st.columns(2, gap="medium")
        with left:
            matrix(study, scores, "left")
        with right:
            matrix(*named_study(view()["beside"]), "right")
        st.subheader("The heads themselves", anchor=False)
        heads_themselves(scores)
except (InputError, FileNotFoundError) as error:
    st.error(plain(error))
