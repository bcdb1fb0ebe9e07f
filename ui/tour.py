"""The tour: five short steps on the pages themselves, over which they stand; it opens by itself once in a browser.

The browser remembers that in its local storage. A link to another page than the first step's opens that page and
nothing else. `FASP_TOUR=0` in the server's environment keeps the tour from opening by itself.
"""

from __future__ import annotations

import os

import streamlit as st

from ui import words
from ui.view import address_of_view

SWITCH = "FASP_TOUR"
STEP, MOVED = "tour_step", "tour_moved"  # the step that is shown; whether its page is still to be opened
STOPS = (  # the page of each step of `words.TOUR`, and what it points at there
    ("heads", ".st-key-panel"),
    ("heads", ".st-key-map_z_ppl, .st-key-map_z_bias"),
    ("prune", "[class*='st-key-widget-gamma'], [class*='st-key-widget-alpha']"),
    ("heads", ".st-key-panel"),
    ("export", ""),
)
_FIRST_JS = """
export default function ({ setTriggerValue }) {
  try {
    if (localStorage.getItem("fasp.tour")) return;
    localStorage.setItem("fasp.tour", "shown");
  } catch {
    return;  // a browser that remembers nothing would show it every time
  }
  setTriggerValue("first", true);
}
"""
# What is pointed at may be drawn later, or anew: it is looked for at every change of the page until the step ends.
_STEP_JS = """
export default function ({ data, parentElement }) {
  const box = document.querySelector(".st-key-tour");
  const probe = document.createElement("span");
  parentElement.append(probe);
  const colour = getComputedStyle(probe).getPropertyValue("--st-primary-color");
  probe.remove();
  box.setAttribute("role", "dialog");
  box.setAttribute("aria-label", data.label);
  box.tabIndex = -1;
  let fresh = box.dataset.step !== data.label;  // the page may run again, and is not to be scrolled again then
  box.dataset.step = data.label;
  if (fresh && !box.contains(document.activeElement)) box.focus({ preventScroll: true });
  box.onkeydown = (event) => {
    const end = box.querySelector(".st-key-tour_skip button") ?? box.querySelector(".st-key-tour_next button");
    if (event.key === "Escape") end.click();
  };
  if (!data.target) return;
  const marked = new Set();
  const mark = () => {
    for (const found of document.querySelectorAll(data.target)) {
      if (marked.has(found)) continue;
      found.style.outline = `2px solid ${colour}`;
      found.style.outlineOffset = "4px";
      found.style.scrollMarginTop = "5rem";  // below the header
      if (fresh) found.scrollIntoView({ block: innerWidth < 640 ? "start" : "center" });
      fresh = false;
      marked.add(found);
    }
  };
  const watch = new MutationObserver(mark);
  watch.observe(document.body, { childList: true, subtree: true });
  mark();
  return () => {
    watch.disconnect();
    marked.forEach((found) => (found.style.outline = ""));
  };
}
"""
_first_opening = st.components.v2.component("fasp_first_opening", js=_FIRST_JS)
_pointer = st.components.v2.component("fasp_tour_step", js=_STEP_JS)


def tour(page: str) -> None:
    """The way to the tour in the sidebar, and over `page`, the address of the page that is open, the step shown."""
    page = page or STOPS[0][0]
    st.sidebar.button(words.TAKE_TOUR, on_click=_go, args=(0,), width="stretch", help=words.TAKE_TOUR_HELP)
    step = st.session_state.get(STEP)
    if step is None:
        if page == STOPS[0][0] and os.environ.get(SWITCH) != "0":
            with st.sidebar:
                _first_opening(key="first_opening", on_first_change=lambda: _go(0))
        return
    wanted, target = STOPS[step]
    if st.session_state.pop(MOVED, False) and page != wanted:
        st.switch_page(f"pages/{wanted}.py", query_params=address_of_view())
    with st.container(border=True, key="tour", gap="small"):
        _draw(step, target if page == wanted else "")


def _draw(step: int, target: str) -> None:
    title, text = words.TOUR[step]
    last = len(STOPS) - 1
    st.markdown(f"**{title}**")
    st.markdown(text)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.button(words.TOUR_BACK, key="tour_back", on_click=_go, args=(step - 1,), disabled=step == 0)
        st.button(
            words.TOUR_DONE if step == last else words.TOUR_NEXT,
            key="tour_next",
            type="primary",
            on_click=_go,
            args=(None if step == last else step + 1,),
        )
        if step != last:
            st.button(words.TOUR_SKIP, key="tour_skip", on_click=_go, args=(None,), type="tertiary")
        st.caption(words.tour_at(step + 1, last + 1), width="content")
    _pointer(key=f"tour_step_{step}", data={"label": words.tour_label(title), "target": target})


def _go(step: int | None) -> None:
    """Show a step and open its page; None ends the tour."""
    st.session_state[STEP], st.session_state[MOVED] = step, step is not None
