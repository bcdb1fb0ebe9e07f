"""On a narrow screen the menu lies over the page, so it closes once a page was chosen from it."""

from __future__ import annotations

import streamlit as st

_JS = """
const NARROW = 768;  // pixels: below it Streamlit lays the sidebar over the page
const close = (event) => {
  if (window.innerWidth >= NARROW) return;
  if (!event.target.closest?.("[data-testid=stSidebar] [data-testid=stPageLink]")) return;
  document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click();
};
export default function () {
  document.addEventListener("click", close);
  return () => document.removeEventListener("click", close);
}
"""
_closer = st.components.v2.component("fasp_menu", js=_JS)


def close_menu_after_a_choice() -> None:
    """Watch the menu from now on; once on every page."""
    with st.sidebar:
        _closer(key="menu")
