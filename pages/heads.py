"""Heads: which heads the model needs, which drive its bias, and how sure that is."""

import numpy as np
import streamlit as st

from fasp_core.captions import describe_reliability, heatmap_alt, heatmap_caption
from fasp_core.figures import CHART_CONFIG, MAP_CONFIG, head_heatmap, head_scatter
from fasp_core.head_scores import HeadScores
from fasp_core.numbers import axis_label, column_decimals, format_estimate, format_fixed
from fasp_core.selection import Head
from fasp_core.summaries import base_bias, base_ppl, head_lines, strongest_head
from ui.parts import axis_picker, chosen_head, dark, head_name, pick_head, start_page
from ui.state import bound, choose

MAPS = {
    "z_ppl": ("**z_ppl** · what the model needs",
              "Perplexity without the head − with it. Above 0 (teal): the model needs the head."),
    "z_bias": ("**z_bias** · what drives the bias",
               "Bias with the head − without it. Above 0 (orange): the head drives the bias."),
}  # fmt: skip
SIDE_PANEL_UP_TO = 24  # heads per layer; wider maps need the whole width, the panel then goes below


def base_numbers(scores: HeadScores, axis: str) -> None:
    """The intact model's numbers, and how far the ranking can be trusted."""
    reliability = (scores.meta.get("reliability") or {}).get(axis)
    ppl, bias = base_ppl(scores), base_bias(scores, axis)
    with st.container(horizontal=True, gap="medium", key="base_numbers"):
        if ppl is not None:
            st.metric("Perplexity", format_estimate(ppl.value, ppl.se), width="content",
                      help="Of the intact model, on the study's text. ± is one standard error.")  # fmt: skip
        if bias is not None:
            st.metric("Bias", format_estimate(bias.value, bias.se), width="content",
                      help="Of the intact model: how far the groups' mean toxicities lie from that of the axis, "
                      "summed over groups. ± is one standard error.")  # fmt: skip
        st.metric("Reliability of the ranking", "unknown" if reliability is None else format_fixed(reliability, 2),
                  width="content", help="Rank correlation expected between this order of the unprotected heads by "
                  "z_bias and a second measurement of the same size: 1 = the same order, 0 = noise.")  # fmt: skip
    based = f" Based on {bias.n:,} continuations." if bias and bias.n else ""
    st.markdown(describe_reliability(reliability) + based)


def heat_map(quantity: str, values: np.ndarray, errors: np.ndarray, reliability: float | None, head: Head) -> None:
    """One map with its heading, text alternative and caption; a click chooses a head."""
    key, (heading, meaning) = f"map_{quantity}", MAPS[quantity]
    st.markdown(heading, help=meaning)
    st.plotly_chart(
        head_heatmap(values, errors, quantity=quantity, selected=head, dark=dark()), key=key, theme=None,
        config=MAP_CONFIG, on_select=lambda: pick_head(key), selection_mode="points",
        alt=heatmap_alt(values, errors, quantity),
    )  # fmt: skip
    st.caption(heatmap_caption(values, errors, reliability))


def head_panel(scores: HeadScores, head: Head, *, upright: bool) -> None:
    """The scores of one head on every axis, with intervals and ranks; also the way to choose one by keyboard."""
    heads = [divmod(flat, scores.heads_per_layer) for flat in range(scores.n_heads)]
    st.selectbox("Head", heads, format_func=head_name, **bound("head", default=head))
    with st.container(horizontal=not upright):
        for line in head_lines(scores, head):
            with st.container(gap=None, width="stretch" if upright else 220):
                name = "z_ppl" if line.axis is None else f"z_bias · {axis_label(line.axis)}"
                st.metric(name, format_estimate(line.value, line.se, signed=True))
                span = (
                    f" (95\u00a0%: {line.rank_low:,} to {line.rank_high:,})" if line.rank_low < line.rank_high else ""
                )
                st.caption(f"rank {line.rank:,} of {scores.n_heads:,}{span}")


def head_table(scores: HeadScores, axis: str) -> None:
    """All heads, sortable; a click on a row chooses its head."""
    frame = scores.frame[["layer", "head", "z_bias." + axis, "z_bias_se." + axis, "z_ppl", "z_ppl_se"]]
    frame = frame.sort_values("z_bias." + axis, ascending=False, kind="stable", ignore_index=True)
    columns = {"layer": st.column_config.NumberColumn("layer"), "head": st.column_config.NumberColumn("head")}
    for name, label in (("z_bias." + axis, "z_bias"), ("z_ppl", "z_ppl")):
        error = name.replace("z_bias.", "z_bias_se.") if name != "z_ppl" else "z_ppl_se"
        digits = f"%.{column_decimals(frame[error])}f"
        columns[name] = st.column_config.NumberColumn(label, format=digits)
        columns[error] = st.column_config.NumberColumn("±", format=digits, help="one standard error")

    def pick_row() -> None:
        rows = st.session_state["table"]["selection"]["rows"]
        if rows:
            choose("head", (int(frame["layer"][rows[0]]), int(frame["head"][rows[0]])))

    st.dataframe(
        frame, column_config=columns, hide_index=True, height=420, key="table", on_select=pick_row,
        selection_mode="single-row", alt="All heads with their scores and standard errors",
    )  # fmt: skip


def scatter(scores: HeadScores, axis: str, head: Head) -> None:
    """z_ppl against z_bias; a click chooses a head."""
    heads = [divmod(flat, scores.heads_per_layer) for flat in range(scores.n_heads)]

    def pick_point() -> None:
        points = st.session_state["scatter"]["selection"]["points"]
        if points:
            choose("head", heads[points[0]["point_index"]])

    st.plotly_chart(
        head_scatter(scores.z_ppl, scores.z_ppl_se, scores.z_bias(axis), scores.z_bias_se(axis), heads,
                     selected=head, dark=dark()),
        key="scatter", theme=None, config={**CHART_CONFIG, "doubleClickDelay": 1}, on_select=pick_point,
        selection_mode="points", alt="z_bias of every head against its z_ppl; the table holds the same numbers",
    )  # fmt: skip


_, scores = start_page("Heads")
axis = axis_picker(scores)
shape = (scores.n_layers, scores.heads_per_layer)
z_bias, z_bias_se = scores.z_bias(axis).reshape(shape), scores.z_bias_se(axis).reshape(shape)
head = chosen_head(scores) or strongest_head(scores, axis)
reliability = scores.meta.get("reliability") or {}
base_numbers(scores, axis)

beside = scores.heads_per_layer <= SIDE_PANEL_UP_TO
columns = st.columns([4, 4, 3] if beside else 2, gap="medium")
with columns[0]:
    z_ppl, z_ppl_se = scores.z_ppl.reshape(shape), scores.z_ppl_se.reshape(shape)
    heat_map("z_ppl", z_ppl, z_ppl_se, reliability.get("ppl"), head)
with columns[1]:
    heat_map("z_bias", z_bias, z_bias_se, reliability.get(axis), head)
with columns[2] if beside else st.container(), st.container(border=True):
    head_panel(scores, head, upright=beside)

st.subheader("All heads", anchor=False)
left, right = st.columns(2, gap="medium")
with left:
    scatter(scores, axis, head)
with right:
    head_table(scores, axis)
    st.download_button("Download all scores (CSV)", scores.frame.to_csv(index=False), "head_scores.csv", "text/csv")
