"""A chart that is drawn anew keeps its last picture until the new one is there.

Streamlit removes a chart whose figure has changed and draws another one, which is hidden until it has its size: that
would be a blank place at every move of a slider. So a copy of the last picture lies there meanwhile.
"""

from __future__ import annotations

import streamlit as st

_JS = """
const pictures = new Map();  // by the chart's key: a copy of what it showed last
const followed = new WeakSet();  // boxes whose chart is being drawn
const shown = new WeakSet();  // plots that were drawn, and seen

const copyOf = (plot) => {
  const copy = plot.cloneNode(true);
  copy.className = "fasp-still";  // nothing takes it for a plot
  copy.setAttribute("aria-hidden", "true");
  copy.style.cssText = "position: absolute; inset: 0; pointer-events: none; visibility: visible;";
  copy.querySelectorAll(".modebar-container, .hoverlayer").forEach((part) => part.remove());
  copy.querySelectorAll(".main-svg").forEach((svg) => { svg.style.cssText = "position: absolute; top: 0; left: 0;"; });
  return copy;
};

const follow = (box, key) => {
  const plot = box.querySelector(".js-plotly-plot");
  if (plot?.querySelector(".subplot") && getComputedStyle(plot).visibility === "visible") {
    const keep = () => pictures.set(key, copyOf(plot));
    keep();
    plot.on("plotly_afterplot", keep);
    shown.add(plot);
  } else if (box.isConnected) {
    requestAnimationFrame(() => follow(box, key));
    return;
  }
  followed.delete(box);
  box.querySelectorAll(":scope > .fasp-still").forEach((still) => still.remove());
};

const look = () => {
  for (const key of pictures.keys()) if (!document.getElementsByClassName(key).length) pictures.delete(key);
  for (const chart of document.querySelectorAll(".stPlotlyChart")) {
    const box = chart.closest(".stElementContainer");
    const key = [...box.classList].find((name) => name.startsWith("st-key-"));
    if (!key || followed.has(box) || shown.has(box.querySelector(".js-plotly-plot"))) continue;
    followed.add(box);
    if (pictures.has(key)) box.append(pictures.get(key).cloneNode(true));
    follow(box, key);
  }
};

const observer = new MutationObserver(look);  // called before anything is painted

export default function () {
  look();
  observer.observe(document.body, { childList: true, subtree: true });
  return () => observer.disconnect();
}
"""
_keeper = st.components.v2.component("fasp_still", js=_JS)


def keep_pictures() -> None:
    """Look after the charts from now on; once on every page."""
    with st.sidebar:
        _keeper(key="still")
