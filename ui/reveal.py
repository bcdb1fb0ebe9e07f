"""Generated texts can be offensive: they are hidden until one asks for them, once per session, never by a link."""

from __future__ import annotations

import streamlit as st

from ui import words
from ui.text import plain


def reveal_toggle(key: str) -> bool:
    """The switch that shows texts; all of them stand as one was last put, on every page."""
    memory, widget = st.session_state, f"reveal.{key}"
    memory[widget] = memory.setdefault("revealed", False)
    st.toggle("Show texts", key=widget, on_change=_take, args=(widget,), help=words.REVEAL)
    return memory["revealed"]


def _take(widget: str) -> None:
    st.session_state["revealed"] = st.session_state[widget]


def marked_markdown(prompt: str, runs: list[tuple[str, bool]], *, revealed: bool) -> str:
    """A prompt and its continuation as one paragraph of markdown, the words that differ on a coloured ground."""
    if not revealed:
        return f":gray[*{words.HIDDEN}*]"
    marked = [
        f":orange-background[{plain(text)}]" if differs else f"**{plain(text)}**" for text, differs in runs if text
    ]
    return " ".join([plain(prompt), *marked]) if marked else f"{plain(prompt)} :gray[*(nothing)*]"


def text_markdown(prompt: str, continuation: str, *, revealed: bool, empty: str = ":gray[*(nothing)*]") -> str:
    """A prompt and its continuation as one paragraph of markdown, whatever they hold; `empty` stands for no words."""
    if not revealed:
        return f":gray[*{words.HIDDEN}*]"
    written = plain(continuation)
    return f"{plain(prompt)} **{written}**" if written else f"{plain(prompt)} {empty}"
