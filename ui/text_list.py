"""Texts on pages of their own length: however many there are, only those of one page are sent to the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from ui.view import bound_value, choose, view

PER_PAGE = 20


def paged(frame: pd.DataFrame, draw: Callable[[Any], None]) -> None:
    """Draw one page of a table, a row (named tuple) at a time, and the choice of the page."""
    pages = max(1, -(-len(frame) // PER_PAGE))
    if view()["from"] > pages:
        choose("from", pages)
    start = (view()["from"] - 1) * PER_PAGE
    for row in frame.iloc[start : start + PER_PAGE].itertuples():
        draw(row)
    if pages > 1:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.button("Back", on_click=choose, args=("from", view()["from"] - 1), disabled=view()["from"] == 1)
            st.number_input("Page", 1, pages, width=140, **bound_value("from"))
            st.button("Next", on_click=choose, args=("from", view()["from"] + 1), disabled=view()["from"] == pages)
            st.caption(f"of {pages:,}")


def to_first_page() -> None:
    """Callback of what filters or orders the texts: another list begins at its beginning."""
    choose("from", 1)


def count_line(shown: int, of: int, what: str) -> str:
    """`12 of 1,536 texts`, or all of them."""
    return f"{shown:,} of {of:,} {what}" if shown < of else f"{of:,} {what}"
