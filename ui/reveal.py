"""Generated texts can be offensive: they are hidden until one asks for them, once per session, never by a link."""

from __future__ import annotations

import streamlit as st

from .text import plain

HIDDEN = "(text hidden)"


def reveal_toggle(key: str) -> bool:
    """The switch that shows texts; it stands as it was last put, on every page."""
    memory, widget = st.session_state, f"reveal.{key}"
    if widget not in memory:
        memory[widget] = memory.get("revealed", False)
    memory["revealed"] = st.toggle(
        "Show texts", key=widget, help="The model wrote these texts to be measured; some of them are offensive."
    )
    return memory["revealed"]


def text_markdown(prompt: str, continuation: str, *, revealed: bool, empty: str = ":gray[*(nothing)*]") -> str:
    """A prompt and its continuation as one paragraph of markdown, whatever they hold; `empty` stands for no words."""
    if not revealed:
        return f":gray[*{HIDDEN}*]"
    written = plain(continuation)
    return f"{plain(prompt)} **{written}**" if written else f"{plain(prompt)} {empty}"
