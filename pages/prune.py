"""Prune: move γ and α, see which heads go, what their scores predict, and what the pruned model really does."""

import streamlit as st

from fasp_core.evaluation.result import Evaluation
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.figures import MAP_CONFIG, selection_map
from fasp_core.head import all_heads, head_text
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.prediction import predict_effect
from fasp_core.selection.select_heads import Selection
from fasp_core.study.study import Study
from fasp_core.words.captions import describe_choosing_scores, selection_summary
from fasp_core.words.numbers import format_estimate, z_label
from ui import words
from ui.foresight import change_told
from ui.page import axis_and_metric, metric_of, start_page
from ui.prune.best import best_panel
from ui.prune.choice import (
    choosing_scores,
    compensate_choice,
    remember_choice,
    selection_or_stop,
    toggle_head,
    undo_button,
)
from ui.prune.configuration import open_configuration
from ui.prune.effects import draw_prediction
from ui.prune.measurement import confirmed, measured
from ui.prune.scorecard import scorecard_panel
from ui.prune.sets import sets_panel
from ui.text import plain
from ui.theme import dark
from ui.trying import try_panel
from ui.verdict import show_verdict
from ui.view import choose, showing, view


def is_measurable(study: Study) -> bool:
    """Whether pruned models of this study can be measured here: that takes its model."""
    return study.has_model and bool(study.metrics)


def show_selection(scores: HeadScores, selection: Selection, axis: str) -> None:
    """The map of protected, kept and pruned heads, to be clicked, and the same in words."""
    summary = selection_summary(len(selection.pruned), len(selection.protected), scores.n_heads)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{summary}**", help=words.TERMS["roles"])
        undo_button()
    columns, name = (scores.z_ppl, scores.z_ppl_se, scores.z_bias(axis), scores.z_bias_se(axis)), z_label(axis)
    notes = [
        f"z_ppl {format_estimate(ppl, ppl_se, signed=True)}<br>{name} {format_estimate(bias, bias_se, signed=True)}"
        for ppl, ppl_se, bias, bias_se in zip(*columns, strict=True)
    ]
    figure = selection_map(
        scores.n_layers,
        scores.heads_per_layer,
        protected=selection.protected,
        pruned=selection.pruned,
        notes=notes,
        dark=dark(),
    )

    def clicked() -> None:
        points = st.session_state["selection"]["selection"]["points"]
        if points:
            toggle_head(selection.pruned, (int(points[0]["y"]), int(points[0]["x"])))

    st.plotly_chart(
        figure,
        key="selection",
        theme=None,
        config=MAP_CONFIG,
        on_select=clicked,
        selection_mode="points",
        alt=f"Map of heads: {summary}; the pruned heads are listed below.",
    )
    st.caption(words.CLICK_TO_PRUNE)
    with st.expander(f"The {len(selection.pruned)} pruned heads"):
        pruned = list(selection.pruned)
        st.multiselect(
            "Pruned heads",
            all_heads(scores.n_layers, scores.heads_per_layer),
            format_func=head_text,
            placeholder=words.TYPE_A_HEAD,
            help=words.EDIT_PRUNED,
            **showing("pruned_heads", pruned, lambda heads: choose("heads", tuple(sorted(heads)))),
        )


def show_effect(study: Study, scores: HeadScores, selection: Selection, axis: str) -> Evaluation | None:
    """What the scores predict and what was measured on valid prompts; returns the measurement once it is complete."""
    if not selection.pruned:
        st.info(words.NOTHING_PRUNED)
        return None
    draw_prediction(predict_effect(scores, selection.pruned, axis), axis, metric_of(scores))
    if not is_measurable(study):
        st.info(words.PRUNE_WITHOUT_MODEL)
        return None
    compensate_choice()
    if view()["compensate"] == "least_squares":
        st.caption(plain(describe_choosing_scores(scores.meta.compensate)))
    if view()["compensate"] != "none" and scores.meta.compensate is None:
        st.caption(words.PREDICTED_WITHOUT)
    if told := change_told(study, scores.base_bias(axis), axis, metric_of(scores)):
        st.caption(plain(told))
    return measured(study, selection, axis, metric_of(scores))


def show_confirmation(study: Study, scores: HeadScores, selection: Selection, axis: str) -> Evaluation | None:
    """The measurement on test prompts once it was asked for and is complete."""
    if not (selection.pruned and is_measurable(study)):
        return None
    return confirmed(study, selection, axis, metric_of(scores))


def download(study: Study, selection: Selection, axis: str, results: list[Evaluation]) -> None:
    """The configuration of the selection, with what was measured."""
    config = PruningConfig.from_selection(selection, study, results, compensate=view()["compensate"])
    st.download_button(
        "Download configuration (JSON)",
        config.to_json(),
        f"{study.name}.{axis}.json",
        "application/json",
        help=words.CONFIGURATION_HELP,
    )


study, scores = start_page("Prune")
axis = axis_and_metric(study, scores)
show_verdict(scores, axis)
scores = choosing_scores(study, scores, axis)
selection = selection_or_stop(scores, axis)
remember_choice(selection)
if is_measurable(study) and scores.base_ppl is not None:
    best_panel(study, axis, metric_of(scores))
left, right = st.columns(2, gap="medium")
with right:
    on_valid = show_effect(study, scores, selection, axis)
with left:
    show_selection(scores, selection, axis)
    on_test = show_confirmation(study, scores, selection, axis)
    download(study, selection, axis, [result for result in (on_valid, on_test) if result is not None and result.done])
    open_configuration(study, scores)
if is_measurable(study) and selection.pruned:
    scorecard_panel(study, selection, axis, metric_of(scores))
if study.has_model and study.manifest.scorers and selection.pruned:
    try_panel(study, selection.pruned, view()["compensate"])
if is_measurable(study):
    st.fragment(sets_panel)(study, axis, metric_of(scores), selection)
