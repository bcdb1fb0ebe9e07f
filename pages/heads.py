"""Heads: which heads the model needs, which drive its bias, which of them can be spared, and how sure that is."""

import numpy as np
import streamlit as st

from fasp_core.figures import head_heatmap, head_scatter
from fasp_core.head import Head, all_heads
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.ranks import strongest_head
from fasp_core.selection.select_heads import BY_HAND, Selection
from fasp_core.stats.normal import differs_from_zero
from fasp_core.study.study import Study
from fasp_core.words.captions import heatmap_alt, heatmap_caption, selection_summary
from fasp_core.words.numbers import column_decimals, z_label
from fasp_core.words.spoken import some_heads
from ui import words
from ui.charts import draw
from ui.columns import explained
from ui.heads.panel import detail_section, head_box, score_lines, several_panel
from ui.heads.ranking import base_numbers
from ui.page import axis_and_metric, chosen_head, chosen_heads, gamma_alpha, metric_of, pick_heads, start_page
from ui.prune.choice import choosing_scores, chosen_selection, follow_rule
from ui.theme import dark
from ui.verdict import has_clear_bias, show_verdict
from ui.view import EndOfPage, bound, bound_value, choose, view

SIDE_PANEL_UP_TO = 24  # heads per layer; wider maps need the whole width, the panel then goes below


def current_selection(study: Study, scores: HeadScores, axis: str) -> Selection:
    """What the Prune page protects and prunes; its γ and α can be set here too. Where there is no such choice, none."""
    method, summary = view()["method"], ""
    try:
        gamma_alpha(scores, method, moved=follow_rule)
        selection = chosen_selection(choosing_scores(study, scores, axis), axis)
        summary = selection_summary(len(selection.pruned), len(selection.protected), scores.n_heads)
    except EndOfPage:  # why is said; the maps do not depend on it
        gamma, alpha = view()["gamma"], view()["alpha"]
        selection = Selection((), (), method, axis, gamma, alpha, scores.n_layers, scores.heads_per_layer)
    if selection.method == BY_HAND:
        st.caption(words.CUSTOM_SET.format(some_heads(len(selection.pruned))))
    with st.container(horizontal=True, gap="large", vertical_alignment="center"):
        if summary:
            st.markdown(summary, width="content", help=words.TERMS["roles"])
        st.toggle(
            "Choose several heads",
            **bound_value("several"),
            help=words.SEVERAL,
        )
    st.caption(words.TERMS["marks"])
    return selection


def heat_map(
    scores: HeadScores, axis: str, quantity: str, selection: Selection, framed: tuple[Head, ...], several: bool
) -> None:
    """One map with its heading, text alternative and caption; a click chooses a head."""
    shape = (scores.n_layers, scores.heads_per_layer)
    columns = (scores.z_ppl, scores.z_ppl_se) if quantity == "z_ppl" else (scores.z_bias(axis), scores.z_bias_se(axis))
    values, errors = (column.reshape(shape) for column in columns)
    reliability = scores.intact_ppl.reliability if quantity == "z_ppl" else scores.reliability(axis)
    key, name = f"map_{quantity}", quantity if quantity == "z_ppl" else z_label(axis)
    st.markdown(words.MAPS[name], help=words.TERMS[name])
    figure = head_heatmap(
        values,
        errors,
        quantity=quantity,
        selected=framed,
        protected=selection.protected,
        pruned=selection.pruned,
        relative=scores.relative,
        several=several,
        muted=quantity == "z_bias" and not has_clear_bias(scores, axis),
        dark=dark(),
    )
    draw(
        figure,
        key=key,
        alt=heatmap_alt(values, errors, name),
        filename=f"{name}.{axis}",
        is_map=True,
        on_select=lambda: pick_heads(key, lambda point: (int(point["y"]), int(point["x"]))),
        several=several,
    )
    st.caption(heatmap_caption(values, errors, reliability, relative=scores.relative))


def scatter(scores: HeadScores, axis: str, selection: Selection, framed: tuple[Head, ...], several: bool) -> None:
    """z_ppl against z_bias; a click chooses a head."""
    heads = all_heads(scores.n_layers, scores.heads_per_layer)
    figure = head_scatter(
        scores.z_ppl,
        scores.z_ppl_se,
        scores.z_bias(axis),
        scores.z_bias_se(axis),
        heads,
        selected=framed,
        protected=selection.protected,
        pruned=selection.pruned,
        score=z_label(axis),
        several=several,
        dark=dark(),
    )
    draw(
        figure,
        key="scatter",
        filename=f"scatter.{axis}",
        several=several,
        on_select=lambda: pick_heads(
            "scatter", lambda point: heads[point["point_index"]] if point["curve_number"] == 0 else None
        ),
        alt=f"{z_label(axis)} of every head against its z_ppl, with the γ cut; the table holds the same numbers",
    )


def head_table(study: Study, scores: HeadScores, axis: str, selection: Selection) -> None:
    """The heads with their scores and roles, sortable and filtered; a click on a row chooses its head."""
    shown = [rows for rows in words.TABLE_ROWS if rows != "clear" or not scores.relative]
    if view()["show"] not in shown:
        choose("show", "all")
    st.selectbox(
        "Heads in the table", shown, format_func=words.TABLE_ROWS.get, help=words.TERMS["roles"], **bound("show")
    )
    bias, bias_se = scores.z_columns(axis)
    frame = scores.frame[["layer", "head", bias, bias_se, "z_ppl", "z_ppl_se"]].assign(role=selection.roles())
    masks = {
        "all": np.ones(len(frame), bool),
        "clear": differs_from_zero(frame[bias], frame[bias_se]),
        "unprotected": frame["role"] != "protected",
        "protected": frame["role"] == "protected",
        "pruned": frame["role"] == "pruned",
    }
    frame = frame[masks[view()["show"]]].sort_values(bias, ascending=False, kind="stable", ignore_index=True)
    frame = frame.dropna(axis="columns", how="all")  # a file may hold no errors
    columns = {
        "layer": st.column_config.NumberColumn("layer"),
        "head": st.column_config.NumberColumn("head", help=words.TERMS["head"]),
        **explained(frame[["role"]]),
    }
    for name, error, label in ((bias, bias_se, z_label(axis)), ("z_ppl", "z_ppl_se", "z_ppl")):
        digits = f"%.{column_decimals(scores.column(error))}f"
        columns[name] = st.column_config.NumberColumn(label, format=digits, help=words.TERMS[label])
        columns[error] = st.column_config.NumberColumn("±", format=digits, help=words.TERMS["one_se"])

    def pick_row() -> None:
        rows = st.session_state["table"]["selection"]["rows"]
        if rows:
            choose("head", (int(frame["layer"][rows[0]]), int(frame["head"][rows[0]])))

    st.dataframe(
        frame,
        column_config=columns,
        hide_index=True,
        height=340,
        key="table",
        on_select=pick_row,
        selection_mode="single-row",
        alt="Heads with their scores, standard errors and roles",
    )
    st.download_button(
        "Download all scores (CSV)",
        scores.frame.to_csv(index=False),
        f"head_scores.{study.name}.{metric_of(scores)}.csv",
        "text/csv",
    )


study, scores = start_page("Heads")
axis = axis_and_metric(study, scores)
show_verdict(scores, axis)
base_numbers(study, scores, axis)
selection = current_selection(study, scores, axis)
several = view()["several"]
head = chosen_head(scores) or strongest_head(scores, axis)
framed = chosen_heads(scores) if several else (head,)

beside = scores.heads_per_layer <= SIDE_PANEL_UP_TO
columns = st.columns([4, 4, 3] if beside else 2, gap="medium")
with columns[0]:
    heat_map(scores, axis, "z_ppl", selection, framed, several)
with columns[1]:
    heat_map(scores, axis, "z_bias", selection, framed, several)
with columns[2] if beside else st.container(), st.container(border=True, key="panel"):
    if several:
        several_panel(study, scores, axis)
    else:
        head_box(scores, head)
        score_lines(study, scores, head, axis)
if not several:
    detail_section(study, scores, head, axis)

st.header("All heads", anchor=False)
left, right = st.columns(2, gap="medium")
with left:
    scatter(scores, axis, selection, framed, several)
with right:
    head_table(study, scores, axis, selection)
