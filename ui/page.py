"""What pages share: their title, the choice of study, axis, measure, γ and α, and the heads that were clicked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from runpy import run_path
from typing import Any

import streamlit as st

from fasp_core.errors import InputError
from fasp_core.head import Head
from fasp_core.selection.clearest import clearest_axis
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.rules import RULES
from fasp_core.selection.select_heads import head_count
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.study import Study, list_studies
from fasp_core.study.views import measured_axes, scored_axes
from fasp_core.words.spoken import model_title
from ui import words
from ui.caches import named_study, opened_study, scores_by
from ui.text import axis_text, plain
from ui.view import EndOfPage, bound, bound_value, choose, inside_app, showing, view

FIRST_STUDY = "python -m fasp_core score default --axes gender_and_sex --budget quick"


def study_picker() -> None:
    """The sidebar's choice of study; nothing where there is none."""
    names = list_studies()
    asked = view()["study"]
    if asked is not None and asked not in names:
        st.warning(f"There is no study {plain(asked)} here; showing another one.")
        choose("study", None)
    if names:
        st.sidebar.selectbox("Study", names, help=words.TERMS["study"], **bound("study", default=_first(names)))


def shown_study() -> str | None:
    """The name of the study that the pages show, None where there is none."""
    return view()["study"] or _first(list_studies())


def shown_title() -> str | None:
    """The model and the study that the pages show, for the tab; None where there is none that can be read."""
    name = shown_study()
    if name is None:
        return None
    try:
        made = opened_study(name).manifest.model
    except (InputError, FileNotFoundError):
        return name
    title = model_title(made.get("name"), made.get("ref"))
    return title if title == name else f"{title} · {name}"


def _first(names: list[str]) -> str | None:
    return "default" if "default" in names else next(iter(names), None)


def current_study() -> tuple[Study, HeadScores]:
    """The chosen study and its scores by the chosen metric (or the one it has), or words on what to do instead.

    Where there is no study, or it cannot be read, that ends the page.
    """
    name = shown_study()
    if name is None:
        st.info(words.NO_STUDY)
        st.code(FIRST_STUDY, language=None)
        st.caption(words.NO_STUDY_THEN)
        st.page_link("pages/studies.py", label=words.TO_STUDIES)
        raise EndOfPage
    try:
        return named_study(name)
    except InputError as error:
        st.error(plain(error))
    except FileNotFoundError:
        st.error(f"The study {plain(name)} is gone: its folder was deleted. Choose another one.")
    raise EndOfPage


APP = Path(__file__).resolve().parent.parent / "app.py"


def open_page(title: str) -> None:
    """What every page begins with: its title.

    Until `st.navigation` has been called once, streamlit takes the files of `pages/` for pages of its old kind, and
    when the address of one is the first to be opened after a start, runs that file alone. Then it runs app.py.
    """
    if not inside_app():
        run_path(str(APP))
        st.stop()
    st.title(title, anchor=False)


def start_page(title: str, *, of_texts: bool = False) -> tuple[Study, HeadScores]:
    """What every page about a study begins with: its title, the chosen study and its scores, and what made them.

    `of_texts`: the page shows texts, whatever its scores are of, so what is told is the number of those.
    """
    open_page(title)
    study, scores = current_study()
    rated = scores_by(study, "toxicity") if of_texts and "toxicity" in study.metrics else scores
    st.caption(provenance(rated, counted=not of_texts or metric_of(rated) == "toxicity"))
    notes = scores.meta.notes
    with st.expander(f"{len(notes)} notes on these scores") if len(notes) > 1 else st.container():
        for note in notes:
            st.caption(plain(note))
    return study, scores


def axis_and_metric(study: Study, scores: HeadScores) -> str:
    """The choice of axis and, where there is one, of how bias is measured, side by side; gives the axis."""
    also = list(scores.targets)
    if "toxicity" in study.metrics and study.axes:
        also.append(MEAN_TOXICITY)
    if view()["axis"] == MEAN_TOXICITY:  # its scores are by toxicity; the others are what the view's own metric has
        metric = view()["metric"]
        also = [*(measured_axes(study, metric) if metric in study.metrics else scored_axes(study)), MEAN_TOXICITY]
    with st.container(horizontal=True, gap="medium"):
        axis = axis_picker(scores, also)
        if axis != MEAN_TOXICITY:
            metric_picker(study, scores)
    return axis


def metric_picker(study: Study, scores: HeadScores) -> None:
    """The choice of how bias is measured, where the study was measured in both ways."""
    if len(study.metrics) > 1:
        st.segmented_control(
            words.MEASURED_BY,
            study.metrics,
            format_func=words.MEASURES.get,
            required=True,
            help=words.TERMS["metric"],
            **bound("metric", default=metric_of(scores)),
        )


def metric_of(scores: HeadScores) -> str:
    """What the bias of these scores is measured by."""
    return scores.meta.metric or "toxicity"


def has_samples(study: Study, scores: HeadScores) -> bool:
    """Whether there are texts behind these scores, with their toxicity."""
    return study.has_model and metric_of(scores) == "toxicity"


def provenance(scores: HeadScores, *, counted: bool = True) -> str:
    """Model, shape, file of imported scores, scorer and, where `counted`, number of samples, as one line of markdown.

    What is not known is left out.
    """
    model = scores.meta.model
    known = model is not None and (model.name or model.ref)
    parts = [f"**{plain(model_title(model.name, model.ref))}**"] if known else []
    parts.append(f"{scores.n_layers} layers × {scores.heads_per_layer} heads")
    if scores.meta.source not in (None, "study"):
        parts.append(f"imported from {plain(scores.meta.source)}")
    if scores.meta.scorer:
        what = words.SCORED.get(scores.meta.settings.scored, "toxicity")
        parts.append(f"{what} by the {plain(scores.meta.scorer)} scorer")
    samples = (one.n_samples or 0 for axis, one in scores.intact.items() if axis != MEAN_TOXICITY)
    if counted and (n := sum(samples)):
        parts.append(f"{n:,} {words.SAMPLES_OF[metric_of(scores)]}")
    return " · ".join(parts)


def axis_picker(scores: HeadScores, axes: Sequence[str] = (), *, first: Sequence[str] = ()) -> str:
    """The choice of axis, of `axes` or else those scored; one that is not there is replaced by the default.

    The default is the axis with the clearest bias, of those in `first` where there are any.
    """
    choices = list(dict.fromkeys(axes or scores.axes))
    if not choices:
        st.error(words.NO_AXIS)
        raise EndOfPage
    if view()["axis"] not in (None, *choices):
        choose("axis", None)
    default = clearest_axis(scores)
    if first and default not in first:
        default = first[0]
    st.segmented_control(
        "Axis",
        choices,
        format_func=axis_text,
        required=True,
        help=words.TERMS["axis"],
        **bound("axis", default=default),
    )
    return view()["axis"] or default


def gamma_alpha(
    scores: HeadScores, method: str = "fasp", *, moved: Callable[[], None] | None = None
) -> tuple[float, float]:
    """The sliders of γ and α, α also as a number of heads, and what they mean for this model in one sentence.

    `moved` is called when one of them was moved. Where the method protects heads, an α above 1 − γ is refused with a
    button that corrects it, and the page ends.
    """
    protects = RULES[method].protects
    left, middle, right = st.columns([5, 5, 2], gap="medium", vertical_alignment="bottom")
    gamma_slider(left, moved=moved, disabled=not protects)
    middle.slider(
        "α · share of heads to prune",
        0.0,
        1.0,
        step=0.01,
        **bound_value("alpha", moved=moved),
        help=words.TERMS["alpha"],
    )
    gamma, alpha = view()["gamma"], view()["alpha"]
    count = head_count(alpha, scores.n_heads)

    def take(count: int) -> None:
        choose("alpha", share_of(count, scores.n_heads))
        if moved is not None:
            moved()

    right.number_input(
        "Heads", 0, scores.n_heads, count, help="α as a number of heads.", **showing("number_of_heads", count, take)
    )
    most = round(1 - gamma, 2)
    if protects and alpha > most:
        st.error(
            f"γ = {gamma:.2f} protects {head_count(gamma, scores.n_heads)} of {scores.n_heads} heads, so α can be at "
            f"most {most:.2f}, not {alpha:.2f}. Lower one of the two."
        )
        st.button(f"Set α to {most:.2f}", on_click=choose, args=("alpha", most))
        raise EndOfPage
    drives = "toxicity" if view()["axis"] == MEAN_TOXICITY else "the bias"
    st.caption(words.choice_sentence(method, scores.n_heads, head_count(gamma, scores.n_heads), count, drives=drives))
    return gamma, alpha


def gamma_slider(place: Any = st, *, moved: Callable[[], None] | None = None, **more: Any) -> None:
    """The slider of γ, drawn in `place`; `more` goes to the widget."""
    place.slider(
        "γ · share of heads to protect",
        0.0,
        1.0,
        step=0.01,
        **bound_value("gamma", moved=moved),
        help=words.TERMS["gamma"],
        **more,
    )


def share_of(count: int, n_heads: int) -> float:
    """The smallest share with two decimals, else four, of which `head_count` makes `count` of `n_heads` heads."""
    for digits in (100, 10_000):
        share = min(1.0, math.ceil(count * digits / n_heads - 1e-9) / digits)
        if head_count(share, n_heads) == count:
            break
    return share


def chosen_head(scores: HeadScores) -> Head | None:
    """The head in the view, or None if there is none; one that the model does not have is forgotten."""
    head = view()["head"]
    if head is not None and not (head[0] < scores.n_layers and head[1] < scores.heads_per_layer):
        choose("head", None)
    return view()["head"]


def head_name(head: Head) -> str:
    """A head for people: `layer 3, head 5`."""
    return f"layer {head[0]}, head {head[1]}"


def head_option(head: Head) -> str:
    """A head in a list, found by typing either form: `3.5 · layer 3, head 5`."""
    return f"{head[0]}.{head[1]} · {head_name(head)}"


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
