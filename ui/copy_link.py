"""The sidebar's button that copies the address of the view, which opens the same view for others."""

from __future__ import annotations

import streamlit as st

from ui import words

_CSS = """
button {
  width: 100%; padding: 0.3rem 0.75rem; cursor: pointer; font: inherit;
  color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius, 0.5rem);
}
button:hover, button:focus-visible { border-color: var(--st-primary-color); outline: none; }
button:focus-visible { box-shadow: 0 0 0 2px var(--st-primary-color); }
"""
# A page that is not served from this machine or over HTTPS has no clipboard: there the address is shown to be copied.
_JS = """
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button");
  button.title = data.help;
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = data.done;
      setTimeout(() => { button.textContent = data.label; }, 2000);
    } catch {
      window.prompt(data.label, location.href);
    }
  };
}
"""
_button = st.components.v2.component(
    "fasp_copy_link", html=f"<button type='button'>{words.COPY_LINK}</button>", css=_CSS, js=_JS
)


def copy_link() -> None:
    """Draw the button."""
    with st.sidebar:
        _button(
            key="copy_link", data={"label": words.COPY_LINK, "done": words.LINK_COPIED, "help": words.COPY_LINK_HELP}
        )
