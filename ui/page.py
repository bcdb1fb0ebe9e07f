"""Pieces of a page that more than one page shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from typing import Any

import streamlit as st

from fasp_core.head_scores import HeadScores
from fasp_core.numbers import axis_label
from fasp_core.selection import Head
from fasp_core.study import Study

from .state import EndOfPage, bound, choose, inside_app, view
from .studies import current_study
from .text import plain

METRICS = {"toxicity": "toxicity of its texts", "likelihood": "likelihood of toxic and benign words"}
APP = Path(__file__).resolve().parent.parent / "app.py"


def dark() -> bool:
    """Whether the browser shows the dark theme."""
    return st.context.theme.type == "dark"


def open_page(title: str) -> None:
    """What every page begins with: its title.

    Until `st.navigation` has been called once, streamlit takes the files of `pages/` for pages of its old kind, and
    when the address of one is the first to be opened after a start, runs that file alone. Then it runs app.py.
    """
    if not inside_app():
        run_path(str(APP))
        st.stop()
    st.title(title, anchor=False)


def start_page(title: str) -> tuple[Study, HeadScores]:
    """What every page about a study begins with: its title, the chosen study and its scores, and what made them."""
    open_page(title)
    study, scores = current_study()
    st.caption(provenance(scores))
    notes = scores.meta.get("notes") or []
    with st.expander(f"{len(notes)} notes on these scores") if len(notes) > 1 else st.container():
        for note in notes:
            st.caption(plain(note))
    return study, scores


def axis_and_metric(study: Study, scores: HeadScores) -> str:
    """The choice of axis and, where there is one, of how bias is measured, side by side; gives the axis."""
    with st.container(horizontal=True, gap="medium"):
        axis = axis_picker(scores)
        metric_picker(study, scores)
    return axis


def metric_picker(study: Study, scores: HeadScores) -> None:
    """The choice of how bias is measured, where the study was measured in both ways."""
    if len(study.metrics) > 1:
        st.segmented_control(
            "Bias is measured by", study.metrics, format_func=METRICS.get, required=True,
            **bound("metric", default=metric_of(scores)),
        )  # fmt: skip


def metric_of(scores: HeadScores) -> str:
    """What the bias of these scores is measured by."""
    return scores.meta.get("metric") or "toxicity"


def has_samples(study: Study, scores: HeadScores) -> bool:
    """Whether there are texts behind these scores, with their toxicity."""
    return study.has_model and metric_of(scores) == "toxicity"


def provenance(scores: HeadScores) -> str:
    """Model, shape, file of imported scores, scorer and number of samples, as one line of markdown, as far as known."""
    model = scores.meta.get("model")
    name = model.get("name") or model.get("ref") if isinstance(model, dict) else model
    parts = [f"**{plain(name)}**"] if name else []
    parts.append(f"{scores.n_layers} layers × {scores.heads_per_layer} heads")
    if scores.meta.get("source", "study") != "study":
        parts.append(f"imported from {plain(scores.meta['source'])}")
    if scores.meta.get("scorer"):
        parts.append(f"toxicity by the {plain(scores.meta['scorer'])} scorer")
    counts = scores.meta.get("n_samples") or {}
    if counts:
        parts.append(f"{sum(counts.values()):,} sampled continuations")
    return " · ".join(parts)


def axis_picker(scores: HeadScores) -> str:
    """The choice of axis; one that the study does not have is replaced by its first."""
    if not scores.axes:
        st.error("These scores hold no axis of bias, only perplexity. Score one, for example gender_and_sex.")
        raise EndOfPage
    if view()["axis"] not in (None, *scores.axes):
        choose("axis", None)
    st.segmented_control(
        "Axis", scores.axes, format_func=axis_label, required=True, **bound("axis", default=scores.axes[0])
    )
    return view()["axis"] or scores.axes[0]


def chosen_head(scores: HeadScores) -> Head | None:
    """The head in the view, or None if there is none; one that the model does not have is forgotten."""
    head = view()["head"]
    if head is not None and not (head[0] < scores.n_layers and head[1] < scores.heads_per_layer):
        choose("head", None)
    return view()["head"]


def head_name(head: Head) -> str:
    """A head for people: `layer 3, head 5`."""
    return f"layer {head[0]}, head {head[1]}"


def chosen_heads(scores: HeadScores) -> tuple[Head, ...]:
    """The heads chosen by hand; those that the model does not have are forgotten."""
    heads = view()["chosen"]
    there = tuple(head for head in heads if head[0] < scores.n_layers and head[1] < scores.heads_per_layer)
    if there != heads:
        choose("chosen", there)
    return there


def pick_heads(chart_key: str, head_of: Callable[[dict[str, Any]], Head | None]) -> None:
    """Callback of a chart of heads: a clicked head becomes the chosen one.

    Where several are chosen, a box adds its heads, or takes them away if all of them are chosen already. (plotly
    reports no click while dragging draws a box.)
    `head_of` tells the head of a selected point, None for one that stands for no head.
    """
    selection = st.session_state[chart_key]["selection"]
    heads = [head for point in selection["points"] if (head := head_of(point)) is not None]
    if not heads:
        return
    if not view()["several"]:
        choose("head", heads[-1])
        return
    boxed, chosen = set(heads), set(view()["chosen"])
    choose("chosen", tuple(sorted(chosen - boxed if boxed <= chosen else chosen | boxed)))
