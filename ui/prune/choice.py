"""Choosing heads on the Prune page: method, axes, γ and α, heads set by hand, and the way back.

A set made by hand takes the place of the rule until a slider is moved; it starts as what the rule chose.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import streamlit as st

from fasp_core.errors import InputError
from fasp_core.head_scores import HeadScores
from fasp_core.numbers import axis_label
from fasp_core.rules import METHODS, RULES
from fasp_core.selection import Head, Selection, head_count, select_heads

from .state import EndOfPage, bound, bound_value, choose, showing, view
from .text import plain

BY_HAND = "by_hand"
METHOD_HELP = {
    "fasp": "The published rule: γ protects the heads the model needs; of the others, the highest z_bias go.",
    "fasp_robust": "Like fasp, but a z_bias that is mostly noise counts for little.",
    "fasp_multi": "Like fasp_robust, for several axes at once, weighted.",
    "fasp_iterative": "Prunes in stages and scores again; the command `compare` finds the order.",
    "bias_only": "The highest z_bias go, whatever perplexity says. A baseline.",
    "ppl_only": "The heads the model needs least go. A baseline.",
    "magnitude_l2": "The heads with the smallest weights go. A baseline.",
    "mask_gradient_l2": "The heads whose gate matters least to the loss go. A baseline.",
    "random": "Any heads go. A baseline.",
}
CHOICE = ("axis", "method", "weights", "seed", "gamma", "alpha", "heads")  # what undo brings back
LONGEST_TRAIL = 100


def selection_or_stop(scores: HeadScores, axis: str) -> Selection:
    """Method, sliders and the selection they make; where there is none, says why, offers a way out, ends the page."""
    method = _method(scores)
    rule = RULES[method]
    gamma, alpha = _sliders(scores, protects=rule.protects)
    most = round(1 - gamma, 2)
    if rule.protects and alpha > most:
        st.error(
            f"γ = {gamma:.2f} protects {head_count(gamma, scores.n_heads)} of {scores.n_heads} heads, so α can be at "
            f"most {most:.2f}, not {alpha:.2f}. Lower one of the two."
        )
        st.button(f"Set α to {most:.2f}", on_click=choose, args=("alpha", most))
        raise EndOfPage
    try:
        ruled = _ruled(scores, axis)
    except InputError as error:
        st.error(plain(error))
        raise EndOfPage from error
    return _by_hand(scores, ruled, axis)


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


def _ruled(scores: HeadScores, axis: str) -> Selection:
    """What the method in the view chooses."""
    chosen, rule = view(), RULES[view()["method"]]
    return select_heads(
        scores, chosen["method"], axis=axis, gamma=chosen["gamma"], alpha=chosen["alpha"], seed=chosen["seed"],
        weights=dict(chosen["weights"]) if rule.uses_weights and chosen["weights"] else None,
    )  # fmt: skip


def toggle_head(ruled: tuple[Head, ...], head: Head) -> None:
    """Callback of a click on the map: prune a head that stays, spare one that goes."""
    choose("heads", tuple(sorted(set(ruled) ^ {head})))


def remember_choice() -> None:
    """Note the choice as it stands, for `undo`."""
    trail, now = st.session_state.setdefault("trail", []), {name: view()[name] for name in CHOICE}
    if not trail or trail[-1] != now:
        trail.append(now)
        del trail[:-LONGEST_TRAIL]


def undo_button() -> None:
    """One step back in what was chosen."""
    trail = st.session_state.setdefault("trail", [])
    st.button("Undo", on_click=_undo, disabled=len(trail) < 2, help="Back to what was chosen before.")


def _undo() -> None:
    trail = st.session_state["trail"]
    trail.pop()
    for name, value in trail[-1].items():
        choose(name, value)


def _method(scores: HeadScores) -> str:
    """The rule, and what it needs besides γ and α."""
    method = view()["method"]
    left, right = st.columns([2, 3], gap="medium", vertical_alignment="bottom")
    left.selectbox("Method", METHODS, **bound("method", moved=_follow_rule))
    with right:
        if RULES[method].uses_seed:
            st.number_input("Seed", 0, 10**6, **bound_value("seed", moved=_follow_rule), width=160)
        elif RULES[method].uses_weights:
            _weights(scores)
        else:
            st.caption(METHOD_HELP.get(method, ""))
    return method


def _weights(scores: HeadScores) -> None:
    """The weight of each axis: how much its share of bias counts."""
    weights = dict(view()["weights"] or dict.fromkeys(scores.axes, 1.0))

    def take(axis: str, weight: float) -> None:
        changed = {**{a: weights.get(a, 0.0) for a in scores.axes}, axis: weight}
        choose("weights", tuple(changed.items()) if any(changed.values()) else None)
        _follow_rule()

    with st.container(horizontal=True, gap="small"):
        for axis in scores.axes:
            value = float(weights.get(axis, 0.0))
            st.number_input(
                f"Weight of {axis_label(axis)}", 0.0, 10.0, value, step=0.5, width=150,
                **showing(f"weight.{axis}", value, partial(take, axis)),
            )  # fmt: skip


def _sliders(scores: HeadScores, *, protects: bool) -> tuple[float, float]:
    """γ and α; α also as a number of heads."""
    left, middle, right = st.columns([5, 5, 2], gap="medium", vertical_alignment="bottom")
    left.slider(
        "γ · share of heads to protect", 0.0, 1.0, step=0.01,
        **bound_value("gamma", moved=_follow_rule), disabled=not protects,
        help="The heads with the highest z_ppl are protected: the model needs them most. Methods without protection "
        "do without.",
    )  # fmt: skip
    middle.slider(
        "α · share of heads to prune", 0.0, 1.0, step=0.01,
        **bound_value("alpha", moved=_follow_rule),
        help="Of the other heads, those that the method ranks first are pruned; with fasp, those with the highest "
        "z_bias: they drive the bias.",
    )  # fmt: skip
    gamma, alpha = view()["gamma"], view()["alpha"]
    count = head_count(alpha, scores.n_heads)

    def take(count: int) -> None:
        choose("alpha", share_of(count, scores.n_heads))
        _follow_rule()

    right.number_input(
        "Heads", 0, scores.n_heads, count, help="α as a number of heads.", **showing("number_of_heads", count, take)
    )
    return gamma, alpha


def share_of(count: int, n_heads: int) -> float:
    """The smallest share with two decimals, else four, of which `head_count` makes `count` of `n_heads` heads."""
    for digits in (100, 10_000):
        share = min(1.0, math.ceil(count * digits / n_heads - 1e-9) / digits)
        if head_count(share, n_heads) == count:
            break
    return share


def _by_hand(scores: HeadScores, ruled: Selection, axis: str) -> Selection:
    """The set made by hand, where there is one, in place of the rule's."""
    heads = view()["heads"]
    if heads is None or heads == ruled.pruned:
        return ruled
    if not _exist(scores, heads):
        st.warning("The heads in the address are not all heads of this model; showing the rule's choice.")
        choose("heads", None)
        return ruled
    added, spared = len(set(heads) - set(ruled.pruned)), len(set(ruled.pruned) - set(heads))
    with st.container(horizontal=True, vertical_alignment="center", key="by_hand"):
        st.info(
            f"A set of its own: {len(heads)} heads, {added} that {ruled.method} at these sliders would keep, "
            f"{spared} that it would prune left out. Moving a slider goes back to the rule."
        )
        st.button("Back to the sliders", on_click=choose, args=("heads", None))
    return _own(scores, ruled, heads, axis)


def _exist(scores: HeadScores, heads: tuple[Head, ...]) -> bool:
    return all(layer < scores.n_layers and head < scores.heads_per_layer for layer, head in heads)


def _own(scores: HeadScores, ruled: Selection, heads: tuple[Head, ...], axis: str) -> Selection:
    """A set made by hand as a selection; what γ protects stays protected, unless it is pruned."""
    return replace(
        ruled, pruned=tuple(heads), protected=tuple(h for h in ruled.protected if h not in set(heads)), method=BY_HAND,
        axis=axis, alpha=len(heads) / scores.n_heads, seed=None, weights=None,
    )  # fmt: skip


def _follow_rule() -> None:
    """Give up a set made by hand."""
    choose("heads", None)
