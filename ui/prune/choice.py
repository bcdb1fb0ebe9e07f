"""Choosing heads on the Prune page: method, axes, γ and α, heads chosen by hand, and undo.

A set made by hand starts as what the method chose, and replaces it until a slider is moved.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import streamlit as st

from fasp_core.errors import InputError
from fasp_core.evaluation.keys import Target
from fasp_core.head import Head
from fasp_core.models.compensation_choice import COMPENSATIONS
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.rules import METHODS, RULES
from fasp_core.selection.select_heads import BY_HAND, Selection, select_heads
from fasp_core.study.study import Study
from fasp_core.words.numbers import sentence_start
from fasp_core.words.spoken import some_heads
from ui import words
from ui.caches import scores_by
from ui.page import gamma_alpha, metric_of
from ui.prune.presets import preset_buttons
from ui.text import axis_text, plain
from ui.verdict import ask_before_selecting
from ui.view import EndOfPage, bound, bound_value, choose, showing, view

CHOICE = ("study", "axis", "metric", "method", "weights", "seed", "gamma", "alpha", "heads", "compensate")  # to undo
TOLD_APART = ("study", "axis", "metric", "compensate")  # besides the heads
LONGEST_TRAIL = 100


def selection_or_stop(scores: HeadScores, axis: str) -> Selection:
    """Method, sliders and the selection they make; where there is none, says why and ends the page."""
    preset_buttons(scores, axis)
    method = _method(scores)
    ask_before_selecting(scores, axis)
    gamma_alpha(scores, method, moved=follow_rule)
    try:
        ruled = _ruled(scores, axis)
    except InputError as error:
        st.error(plain(error))
        raise EndOfPage from error
    if ruled.note:
        st.caption(plain(f"{sentence_start(ruled.note)}."))
    return _by_hand(scores, ruled, axis)


def choosing_scores(study: Study, scores: HeadScores, axis: str) -> HeadScores:
    """The scores that heads are chosen by: `scores`, or those for what the view puts in the heads' place."""
    if not study.has_model or view()["compensate"] == "none":
        return scores
    return scores_by(study, metric_of(scores), axis=axis, compensate=view()["compensate"])


def chosen_selection(scores: HeadScores, axis: str) -> Selection:
    """The choice that the Prune page shows, for other pages; says why and ends the page where there is none."""
    try:
        ruled = _ruled(scores, axis)
    except InputError as error:
        st.error(f"{plain(error)} Choose heads on the page Prune.")
        raise EndOfPage from error
    heads = view()["heads"]
    if heads is None or heads == ruled.pruned or not _exist(scores, heads):
        return ruled
    return _own(scores, ruled, heads, axis)


def current_heads(scores: HeadScores, axis: str) -> tuple[Head, ...] | None:
    """The heads that the Prune page would prune, None where there is no such choice."""
    heads = view()["heads"]
    if heads is not None and _exist(scores, heads):
        return heads
    try:
        return _ruled(scores, axis).pruned
    except InputError:
        return None


def _ruled(scores: HeadScores, axis: str) -> Selection:
    """What the method in the view chooses."""
    chosen, rule = view(), RULES[view()["method"]]
    return select_heads(
        scores,
        chosen["method"],
        axis=axis,
        gamma=chosen["gamma"],
        alpha=chosen["alpha"],
        seed=chosen["seed"],
        weights=dict(chosen["weights"]) if rule.uses_weights and chosen["weights"] else None,
    )


def toggle_head(ruled: tuple[Head, ...], head: Head) -> None:
    """Callback of a click on the map: prune a head that is kept, keep one that is pruned."""
    choose("heads", tuple(sorted(set(ruled) ^ {head})))


def remember_choice(selection: Selection) -> None:
    """Note the choice as it stands, for `undo_button`: one step for each pruned model of an axis and measure."""
    trail = st.session_state.setdefault("trail", [])
    now = {name: view()[name] for name in CHOICE}
    shown = (*(now[name] for name in TOLD_APART), selection.pruned, selection.protected)
    if trail and trail[-1][0] == shown:
        trail.pop()
    trail.append((shown, now))
    del trail[:-LONGEST_TRAIL]


def compensate_choice() -> None:
    """What takes the place of the pruned heads."""
    st.selectbox(
        words.COMPENSATE,
        COMPENSATIONS,
        format_func=words.COMPENSATIONS.get,
        help=words.COMPENSATE_HELP,
        **bound("compensate"),
    )


def choose_pruned(target: Target) -> None:
    """Have the view show a pruned model: its heads, and what takes their place."""
    choose("heads", target.heads)
    choose("compensate", target.compensate)


def undo_button() -> None:
    """One step back in what was chosen."""
    trail = st.session_state.setdefault("trail", [])
    st.button("Undo", on_click=_undo, disabled=len(trail) < 2, help=words.UNDO)


def _undo() -> None:
    trail = st.session_state["trail"]
    trail.pop()
    for name, value in trail[-1][1].items():
        choose(name, value)


def _method(scores: HeadScores) -> str:
    """The rule, and what it needs besides γ and α."""
    method = view()["method"]
    left, right = st.columns([2, 3], gap="medium", vertical_alignment="bottom")
    left.selectbox(
        "Method",
        METHODS,
        format_func=words.method_label,
        help=words.TERMS["method"],
        **bound("method", moved=follow_rule),
    )
    with right:
        if RULES[method].uses_seed:
            st.number_input("Seed", 0, 10**6, **bound_value("seed", moved=follow_rule), width=160)
        elif RULES[method].uses_weights:
            _weights(scores)
        else:
            st.caption(words.METHOD_HELP[method])
    return method


def _weights(scores: HeadScores) -> None:
    """The weight of each axis: how much its share of bias counts."""
    weights = dict(view()["weights"] or dict.fromkeys(scores.axes, 1.0))

    def take(axis: str, weight: float) -> None:
        changed = {**{a: weights.get(a, 0.0) for a in scores.axes}, axis: weight}
        choose("weights", tuple(changed.items()) if any(changed.values()) else None)
        follow_rule()

    with st.container(horizontal=True, gap="small"):
        for axis in scores.axes:
            value = float(weights.get(axis, 0.0))
            st.number_input(
                f"Weight of {axis_text(axis)}",
                0.0,
                10.0,
                value,
                step=0.5,
                width=150,
                **showing(f"weight.{axis}", value, partial(take, axis)),
            )


def _by_hand(scores: HeadScores, ruled: Selection, axis: str) -> Selection:
    """The set made by hand, where there is one, in place of the rule's."""
    heads = view()["heads"]
    if heads is None or heads == ruled.pruned:
        return ruled
    if not _exist(scores, heads):
        st.warning(words.HEADS_NOT_THERE)
        choose("heads", None)
        return ruled
    added, spared = len(set(heads) - set(ruled.pruned)), len(set(ruled.pruned) - set(heads))
    with st.container(horizontal=True, vertical_alignment="center", key="by_hand"):
        st.info(
            f"Custom set, {some_heads(len(heads))}: {added} added to and {spared} removed from the method's "
            f"choice ({ruled.method}). Moving a slider discards it."
        )
        st.button("Back to the sliders", on_click=choose, args=("heads", None))
    return _own(scores, ruled, heads, axis)


def _exist(scores: HeadScores, heads: tuple[Head, ...]) -> bool:
    return all(layer < scores.n_layers and head < scores.heads_per_layer for layer, head in heads)


def _own(scores: HeadScores, ruled: Selection, heads: tuple[Head, ...], axis: str) -> Selection:
    """A set made by hand as a selection; what γ protects stays protected, unless it is pruned."""
    return replace(
        ruled,
        pruned=tuple(heads),
        protected=tuple(h for h in ruled.protected if h not in set(heads)),
        method=BY_HAND,
        axis=axis,
        alpha=len(heads) / scores.n_heads,
        seed=None,
        weights=None,
        scores_under=None,
        metric=None,
    )


def follow_rule() -> None:
    """Discard a set made by hand, in favour of what the sliders say."""
    choose("heads", None)
