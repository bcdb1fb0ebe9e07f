"""A tap on a chart selects as a click does.

plotly selects what the pointer hovers over, and a finger does not hover before it taps: so the first thing a touch does
is to move the pointer there.
"""

from __future__ import annotations

import streamlit as st

_JS = """
const hover = (event) => {
  const { clientX, clientY } = event.touches[0];
  if (!event.target.closest?.(".js-plotly-plot")) return;
  event.target.dispatchEvent(new MouseEvent("mousemove", { clientX, clientY, bubbles: true, view: window }));
};
export default function () {
  document.addEventListener("touchstart", hover, { capture: true, passive: true });
  return () => document.removeEventListener("touchstart", hover, { capture: true });
}
"""
_listener = st.components.v2.component("fasp_touch", js=_JS)


def let_taps_select() -> None:
    """Listen to touches from now on; once on every page."""
    with st.sidebar:
        _listener(key="touch")
