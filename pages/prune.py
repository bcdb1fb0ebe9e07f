"""Prune: move γ and α, see which heads go, what their scores predict, and what the pruned model really does."""

import streamlit as st

from fasp_core.captions import heads_by_layer, selection_summary
from fasp_core.config import PruningConfig
from fasp_core.errors import InputError
from fasp_core.figures import MAP_CONFIG, selection_map
from fasp_core.head_scores import HeadScores
from fasp_core.numbers import format_estimate
from fasp_core.selection import Selection, head_count, select_heads
from fasp_core.summaries import predict_effect
from ui.measurement import measured
from ui.parts import axis_picker, dark, start_page
from ui.state import EndOfPage, bound, choose, view
from ui.text import plain


def sliders() -> tuple[float, float]:
    """γ and α."""
    left, right = st.columns(2, gap="medium")
    left.slider(
        "γ · share of heads to protect", 0.0, 1.0, step=0.01, **bound("gamma"),
        help="The heads with the highest z_ppl are protected: the model needs them most.",
    )  # fmt: skip
    right.slider(
        "α · share of heads to prune", 0.0, 1.0, step=0.01, **bound("alpha"),
        help="Of the other heads, those with the highest z_bias are pruned: they drive the bias.",
    )  # fmt: skip
    return view()["gamma"], view()["alpha"]


def selection_or_stop(scores: HeadScores, axis: str, gamma: float, alpha: float) -> Selection:
    """The selection of the sliders; where there is none, says why, offers a way out, and ends the page."""
    most = round(1 - gamma, 2)
    if alpha > most:
        st.error(
            f"γ = {gamma:.2f} protects {head_count(gamma, scores.n_heads)} of {scores.n_heads} heads, so α can be at "
            f"most {most:.2f}, not {alpha:.2f}. Lower one of the two."
        )
        st.button(f"Set α to {most:.2f}", on_click=choose, args=("alpha", most))
        raise EndOfPage
    try:
        return select_heads(scores, axis=axis, gamma=gamma, alpha=alpha)
    except InputError as error:
        st.error(plain(error))
        raise EndOfPage from error


def show_selection(scores: HeadScores, selection: Selection, axis: str) -> None:
    """The map of protected, kept and pruned heads, and the same in words."""
    summary = selection_summary(len(selection.pruned), len(selection.protected), scores.n_heads)
    st.markdown(f"**{summary}**")
    columns = (scores.z_ppl, scores.z_ppl_se, scores.z_bias(axis), scores.z_bias_se(axis))
    notes = [
        f"z_ppl {format_estimate(ppl, ppl_se, signed=True)}<br>z_bias {format_estimate(bias, bias_se, signed=True)}"
        for ppl, ppl_se, bias, bias_se in zip(*columns, strict=True)
    ]
    figure = selection_map(
        scores.n_layers, scores.heads_per_layer, protected=selection.protected, pruned=selection.pruned, notes=notes,
        dark=dark(),
    )  # fmt: skip
    alt = f"Map of heads: {summary}; the pruned heads are listed below."
    st.plotly_chart(figure, key="selection", theme=None, config=MAP_CONFIG, alt=alt)
    with st.expander(f"The {len(selection.pruned)} pruned heads"):
        lines = [f"- layer {layer}: {heads}" for layer, heads in heads_by_layer(selection.pruned)]
        st.markdown("\n".join(lines) or "None.")


study, scores = start_page("Prune")
axis = axis_picker(scores)
selection = selection_or_stop(scores, axis, *sliders())
left, right = st.columns(2, gap="medium")
with left:
    show_selection(scores, selection, axis)
with right:
    if selection.pruned:
        evaluation = measured(study.name, selection, axis, predict_effect(scores, selection.pruned, axis))
    else:
        evaluation = None
        st.info("No head is pruned, so there is nothing to measure. Move α up.")
with left:
    st.download_button(
        "Download configuration (JSON)",
        PruningConfig.from_selection(selection, study, evaluation).model_dump_json(indent=2) + "\n",
        f"{study.name}.{axis}.json", "application/json",
        help="The pruned heads, the model and settings they belong to, and the measured effect once it is complete.",
    )  # fmt: skip
