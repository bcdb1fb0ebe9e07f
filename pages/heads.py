"""Heads: which heads the model needs, which drive its bias, which of them can be spared, and how sure that is."""

import numpy as np
import streamlit as st

from fasp_core.captions import heatmap_alt, heatmap_caption, selection_summary
from fasp_core.errors import InputError
from fasp_core.figures import head_heatmap, head_scatter
from fasp_core.head_scores import HeadScores
from fasp_core.numbers import column_decimals, differs_from_zero
from fasp_core.selection import Head, Selection, select_heads
from fasp_core.summaries import strongest_head
from ui.charts import draw
from ui.head_panel import detail_section, head_box, score_lines, several_panel
from ui.parts import axis_and_metric, chosen_head, chosen_heads, dark, pick_heads, start_page
from ui.ranking import base_numbers
from ui.state import bound, bound_value, choose, view
from ui.text import plain

MAPS = {
    "z_ppl": ("**z_ppl** · what the model needs",
              "Perplexity without the head − with it. Above 0 (teal): the model needs the head."),
    "z_bias": ("**z_bias** · what drives the bias",
               "Bias with the head − without it. Above 0 (orange): the head drives the bias."),
}  # fmt: skip
SIDE_PANEL_UP_TO = 24  # heads per layer; wider maps need the whole width, the panel then goes below
ROWS = {"all": "all", "clear": "those whose z_bias differs from zero", "protected": "protected",
        "unprotected": "unprotected", "pruned": "pruned"}  # fmt: skip


def current_selection(scores: HeadScores, axis: str) -> Selection:
    """Protected and pruned heads of the current γ and α, which are set here or on the Prune page."""
    left, right, words = st.columns([3, 3, 4], gap="medium", vertical_alignment="bottom")
    left.slider("γ · share to protect", 0.0, 1.0, step=0.01, **bound_value("gamma"),
                help="The heads with the highest z_ppl are protected: outlined on the maps.")  # fmt: skip
    right.slider("α · share to prune", 0.0, 1.0, step=0.01, **bound_value("alpha"),
                 help="Of the other heads, those with the highest z_bias are pruned: crossed on the maps.")  # fmt: skip
    gamma, alpha = view()["gamma"], view()["alpha"]
    try:
        selection = select_heads(scores, axis=axis, gamma=gamma, alpha=min(alpha, round(1 - gamma, 2)))
    except InputError as error:
        words.warning(plain(error))
        return Selection((), (), "fasp", axis, gamma, alpha, scores.n_layers, scores.heads_per_layer)
    words.markdown(
        selection_summary(len(selection.pruned), len(selection.protected), scores.n_heads),
        help="On the maps protected heads are outlined, pruned ones crossed, the chosen one framed, and those not "
        "distinguishable from zero faded.",
    )  # fmt: skip
    if alpha > round(1 - gamma, 2):
        words.caption(f"γ leaves at most α = {1 - gamma:.2f}; that is shown.")
    words.toggle(
        "Choose several heads", **bound_value("several"),
        help="Then dragging a box on a map or the scatter adds its heads, and one over chosen heads takes them away.",
    )  # fmt: skip
    return selection


def heat_map(
    scores: HeadScores, axis: str, quantity: str, selection: Selection, framed: tuple[Head, ...], several: bool
) -> None:
    """One map with its heading, text alternative and caption; a click chooses a head."""
    shape = (scores.n_layers, scores.heads_per_layer)
    columns = (scores.z_ppl, scores.z_ppl_se) if quantity == "z_ppl" else (scores.z_bias(axis), scores.z_bias_se(axis))
    values, errors = (column.reshape(shape) for column in columns)
    reliability = (scores.meta.get("reliability") or {}).get("ppl" if quantity == "z_ppl" else axis)
    key, (heading, meaning) = f"map_{quantity}", MAPS[quantity]
    st.markdown(heading, help=meaning)
    figure = head_heatmap(
        values, errors, quantity=quantity, selected=framed, protected=selection.protected, pruned=selection.pruned,
        several=several, dark=dark(),
    )  # fmt: skip
    draw(
        figure, key=key, alt=heatmap_alt(values, errors, quantity), filename=f"{quantity}.{axis}", is_map=True,
        on_select=lambda: pick_heads(key, lambda point: (int(point["y"]), int(point["x"]))), several=several,
    )  # fmt: skip
    st.caption(heatmap_caption(values, errors, reliability))


def scatter(
    scores: HeadScores, axis: str, selection: Selection, framed: tuple[Head, ...], several: bool
) -> None:  # fmt: skip
    """z_ppl against z_bias; a click chooses a head."""
    heads = [divmod(flat, scores.heads_per_layer) for flat in range(scores.n_heads)]
    figure = head_scatter(
        scores.z_ppl, scores.z_ppl_se, scores.z_bias(axis), scores.z_bias_se(axis), heads, selected=framed,
        protected=selection.protected, pruned=selection.pruned, several=several, dark=dark(),
    )  # fmt: skip
    draw(
        figure, key="scatter", filename=f"scatter.{axis}", several=several,
        on_select=lambda: pick_heads(
            "scatter", lambda point: heads[point["point_index"]] if point["curve_number"] == 0 else None
        ),
        alt="z_bias of every head against its z_ppl, with the γ cut; the table holds the same numbers",
    )  # fmt: skip


def head_table(scores: HeadScores, axis: str, selection: Selection) -> None:
    """The heads with their scores and roles, sortable and filtered; a click on a row chooses its head."""
    st.selectbox("Heads in the table", list(ROWS), format_func=ROWS.get, **bound("show"))
    bias, bias_se = f"z_bias.{axis}", f"z_bias_se.{axis}"
    frame = scores.frame[["layer", "head", bias, bias_se, "z_ppl", "z_ppl_se"]].assign(role=selection.roles())
    masks = {
        "all": np.ones(len(frame), bool),
        "clear": differs_from_zero(frame[bias], frame[bias_se]),
        "unprotected": frame["role"] != "protected",
        "protected": frame["role"] == "protected",
        "pruned": frame["role"] == "pruned",
    }
    frame = frame[masks[view()["show"]]].sort_values(bias, ascending=False, kind="stable", ignore_index=True)
    columns = {"layer": st.column_config.NumberColumn("layer"), "head": st.column_config.NumberColumn("head")}
    for name, error, label in ((bias, bias_se, "z_bias"), ("z_ppl", "z_ppl_se", "z_ppl")):
        digits = f"%.{column_decimals(scores.column(error))}f"
        columns[name] = st.column_config.NumberColumn(label, format=digits)
        columns[error] = st.column_config.NumberColumn("±", format=digits, help="one standard error")

    def pick_row() -> None:
        rows = st.session_state["table"]["selection"]["rows"]
        if rows:
            choose("head", (int(frame["layer"][rows[0]]), int(frame["head"][rows[0]])))

    st.dataframe(
        frame, column_config=columns, hide_index=True, height=340, key="table", on_select=pick_row,
        selection_mode="single-row", alt="Heads with their scores, standard errors and roles",
    )  # fmt: skip
    with st.container(horizontal=True):
        st.download_button("Download these (CSV)", frame.to_csv(index=False), "heads.csv", "text/csv", key="shown_csv")
        st.download_button("Download all scores (CSV)", scores.frame.to_csv(index=False), "head_scores.csv", "text/csv")


study, scores = start_page("Heads")
axis = axis_and_metric(study, scores)
base_numbers(study, scores, axis)
selection = current_selection(scores, axis)
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

st.subheader("All heads", anchor=False)
left, right = st.columns(2, gap="medium")
with left:
    scatter(scores, axis, selection, framed, several)
with right:
    head_table(scores, axis, selection)
