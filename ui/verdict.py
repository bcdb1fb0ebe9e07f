"""Whether there is a bias at all: what stands before maps and rankings, and the question before heads are chosen."""

from __future__ import annotations

import streamlit as st

from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.rules import RULES
from fasp_core.stats.sample_size import CLEAR
from fasp_core.words.verdicts import describe_echo, describe_verdict, echo_dominates
from ui import words
from ui.text import plain
from ui.view import EndOfPage, choose, view


def show_verdict(scores: HeadScores, axis: str) -> None:
    """The verdict on the axis, what the prompts alone would give, and why the page opened here; nothing if untested."""
    told = describe_verdict(scores.verdict(axis), unit=scores.meta.unit)
    if told:
        why = f" {words.OPENED_HERE}" if view()["axis"] is None and has_clear_bias(scores, axis) else ""
        (st.info if has_clear_bias(scores, axis) else st.warning)(f"{plain(told)}{why}")
        known = ("p", "interval", "nats") if scores.meta.unit else ("p", "interval")
        st.caption(words.READ_VERDICT, help=" ".join(words.TERMS[term] for term in known))
    echo, bias, scored = scores.prompt_echo.get(axis), scores.base_bias(axis), scores.meta.settings.scored
    if said := describe_echo(echo, bias, scored=scored):
        dominates = scored == "text" and echo_dominates(echo, bias)
        (st.warning if dominates else st.caption)(plain(said))


def has_clear_bias(scores: HeadScores, axis: str) -> bool:
    """Whether a bias is clear on this axis; also where it was never tested, as in scores from a file."""
    verdict = scores.verdict(axis)
    return verdict is None or verdict.state == CLEAR


def ask_before_selecting(scores: HeadScores, axis: str) -> None:
    """Where the method selects by a bias that is not clear, ask first; the page ends until the answer is yes."""
    rule = RULES[view()["method"]]
    axes = scores.axes if rule.uses_weights else [axis] if rule.uses_axis else []
    if view()["anyway"] or all(has_clear_bias(scores, name) for name in axes):
        return
    st.markdown(words.NO_CLEAR_BIAS_TO_SELECT_BY)
    st.button("Select by it all the same", on_click=choose, args=("anyway", True))
    raise EndOfPage
