"""Two ways to prune that people ask for by name, each set with one click: as published, and the best that is here."""

from __future__ import annotations

import streamlit as st

from fasp_core.selection.head_scores import HeadScores
from ui import words
from ui.view import choose, view

SLIDERS = {"gamma": 0.3, "alpha": 0.1}
PRESETS = {
    "published": {**SLIDERS, "method": "fasp", "compensate": "none"},
    "joint": {**SLIDERS, "method": "fasp_joint", "compensate": "least_squares"},
}


def preset_buttons(scores: HeadScores, axis: str) -> None:
    """A button for each preset that these scores allow; the one that is set already cannot be pressed."""
    known = [name for name in PRESETS if name != "joint" or axis in scores.group_effects]
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for name in known:
            parts = PRESETS[name]
            is_set = view()["heads"] is None and all(view()[part] == value for part, value in parts.items())
            st.button(
                words.PRESETS[name],
                key=f"preset_{name}",
                on_click=_set,
                args=(parts,),
                disabled=is_set,
                type="tertiary",
                help=words.METHOD_HELP[parts["method"]],
            )


def _set(parts: dict[str, str | float]) -> None:
    for name, value in parts.items():
        choose(name, value)
    choose("heads", None)
