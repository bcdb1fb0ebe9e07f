"""Prune: move γ and α, see which heads go, what their scores predict, and what the pruned model really does."""

import streamlit as st

from fasp_core.captions import heads_by_layer, selection_summary
from fasp_core.config import PruningConfig
from fasp_core.figures import MAP_CONFIG, selection_map
from fasp_core.head_scores import HeadScores
from fasp_core.numbers import format_estimate
from fasp_core.selection import Selection
from fasp_core.summaries import predict_effect
from ui.effects import draw_prediction
from ui.measurement import confirmed, measured
from ui.parts import axis_and_metric, dark, metric_of, start_page
from ui.selecting import remember_choice, selection_or_stop, toggle_head, undo_button
from ui.sets import sets_panel
from ui.state import bound_value

WITHOUT_MODEL = (
    "These scores were imported without their model, so nothing can be measured: heads are selected, their effect is "
    "predicted, and the configuration can be downloaded. With the model, scored on the page *Studies*, this page also "
    "measures perplexity and the bias of every axis after pruning, with intervals, and warns of damage."
)
WITHOUT_SCORER = (
    "This study was measured by likelihood alone, and pruned models are measured by the toxicity of texts: extend it "
    "on the page *Studies*, or use the command `evaluate` with `--metric likelihood`."
)


def show_selection(scores: HeadScores, selection: Selection, axis: str) -> None:
    """The map of protected, kept and pruned heads, to be clicked, and the same in words."""
    summary = selection_summary(len(selection.pruned), len(selection.protected), scores.n_heads)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{summary}**")
        undo_button()
    columns = (scores.z_ppl, scores.z_ppl_se, scores.z_bias(axis), scores.z_bias_se(axis))
    notes = [
        f"z_ppl {format_estimate(ppl, ppl_se, signed=True)}<br>z_bias {format_estimate(bias, bias_se, signed=True)}"
        for ppl, ppl_se, bias, bias_se in zip(*columns, strict=True)
    ]
    figure = selection_map(
        scores.n_layers, scores.heads_per_layer, protected=selection.protected, pruned=selection.pruned, notes=notes,
        dark=dark(),
    )  # fmt: skip

    def clicked() -> None:
        points = st.session_state["selection"]["selection"]["points"]
        if points:
            toggle_head(selection.pruned, (int(points[0]["y"]), int(points[0]["x"])))

    st.plotly_chart(
        figure, key="selection", theme=None, config=MAP_CONFIG, on_select=clicked, selection_mode="points",
        alt=f"Map of heads: {summary}; the pruned heads are listed below.",
    )  # fmt: skip
    st.caption("Click a head to prune it by hand, or to spare one that is pruned.")
    with st.expander(f"The {len(selection.pruned)} pruned heads"):
        lines = [f"- layer {layer}: {heads}" for layer, heads in heads_by_layer(selection.pruned)]
        st.markdown("\n".join(lines) or "None.")


study, scores = start_page("Prune")
measurable = study.has_model and "toxicity" in study.metrics
axis = axis_and_metric(study, scores)
selection = selection_or_stop(scores, axis)
remember_choice()
left, right = st.columns(2, gap="medium")
results = []
with left:
    show_selection(scores, selection, axis)
with right:
    if selection.pruned:
        draw_prediction(predict_effect(scores, selection.pruned, axis), axis)
    if not selection.pruned:
        st.info("No head is pruned, so there is nothing to measure. Move α up.")
    elif not study.has_model:
        st.info(WITHOUT_MODEL)
    elif not measurable:
        st.info(WITHOUT_SCORER)
    else:
        if metric_of(scores) != "toxicity":
            st.caption("Heads are chosen, and their effect predicted, by likelihood; what is measured is toxicity.")
        results.append(measured(study, selection, axis))
with left:
    if selection.pruned and measurable:
        st.slider(
            "Rise of perplexity that you accept", 0.0, 1.0, step=0.01, format="percent", **bound_value("limit"),
            help="Beyond it the result says that pruning costs too much.",
        )  # fmt: skip
        results.append(confirmed(study, selection, axis))
    st.download_button(
        "Download configuration (JSON)",
        PruningConfig.from_selection(selection, study, [r for r in results if r is not None]).model_dump_json(indent=2)
        + "\n",
        f"{study.name}.{axis}.json", "application/json",
        help="The pruned heads, the model and settings they belong to, and the measured effect once it is complete.",
    )  # fmt: skip
if measurable:
    st.fragment(sets_panel)(study, axis, selection)
