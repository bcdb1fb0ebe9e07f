"""Help beside a text or heading is named after it, as streamlit names that of widgets: `Help` alone says nothing."""

from __future__ import annotations

import streamlit as st

_JS = """
const name = () => {
  for (const button of document.querySelectorAll("button[aria-label='Help'], button[data-named]")) {
    const text = button.closest("[data-testid=stMarkdown], [data-testid=stHeading]")?.textContent.trim();
    const label = `Help for ${text?.slice(0, 80)}`;
    if (!text || button.getAttribute("aria-label") === label) continue;
    button.setAttribute("aria-label", label);
    button.dataset.named = "";
  }
};
export default function () {
  const watch = new MutationObserver(name);
  watch.observe(document.body, { childList: true, characterData: true, subtree: true });
  name();
  return () => watch.disconnect();
}
"""
_names = st.components.v2.component("fasp_help_names", js=_JS)


def name_help() -> None:
    """Name the help of texts from now on; once on every page."""
    with st.sidebar:
        _names(key="help_names")
