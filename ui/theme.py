"""Which theme the browser shows, as the page itself tells.

`st.context.theme` is often wrong in the first run of a session (streamlit issue 11920), and nothing follows to correct
it: charts would be light on a dark page until the next move. So the page reports its background, which runs it again
where it was taken for another one.
"""

from __future__ import annotations

import streamlit as st

REPORTED, KEY = "reported_dark", "theme"
_JS = """
export default function ({ data, parentElement, setStateValue }) {
  const probe = document.createElement("span");
  probe.style.color = "var(--st-background-color)";
  parentElement.append(probe);
  const [red, green, blue] = getComputedStyle(probe).color.match(/[0-9.]+/g).map(Number);
  probe.remove();
  const dark = 0.299 * red + 0.587 * green + 0.114 * blue < 128;
  if (dark !== data.dark) setStateValue("dark", dark);
}
"""
_probe = st.components.v2.component("fasp_theme", js=_JS)


def dark() -> bool:
    """Whether the browser shows the dark theme."""
    return st.session_state.get(REPORTED, st.context.theme.type == "dark")


def report_theme() -> None:
    """Have the page report its theme where that is not the one that this run draws."""
    with st.sidebar:
        _probe(key=KEY, data={"dark": dark()}, on_dark_change=_take)


def _take() -> None:
    st.session_state[REPORTED] = bool(st.session_state[KEY]["dark"])
