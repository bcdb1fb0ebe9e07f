"""Continuations: what the model wrote, by group and toxicity, and what pruning made of it."""

import pandas as pd
import streamlit as st

from fasp_core.errors import InputError
from fasp_core.evaluation.history import MeasuredSet, measured_sets
from fasp_core.evaluation.keys import pruned_name
from fasp_core.evaluation.streams import stream_of
from fasp_core.head import heads_text
from fasp_core.selection.head_scores import HeadScores
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.study import Study
from fasp_core.words.numbers import format_fixed
from fasp_core.words.spoken import some_heads
from fasp_core.words.text_pairs import RatedPair, changed_share, matching
from ui import words
from ui.caches import evaluation_identity, pairs, texts
from ui.continuations.marking import limit_of, marking_switch, show_marked
from ui.page import axis_picker, start_page
from ui.prune.choice import choosing_scores, current_heads
from ui.reveal import reveal_toggle, text_markdown
from ui.text import axis_text, plain
from ui.text_list import count_line, paged, to_first_page
from ui.trying import show_pair, try_panel
from ui.view import EndOfPage, address_of_view, bound, bound_value, choose, view


def filtered(frame: pd.DataFrame, columns: list[str], toxicity: str) -> pd.DataFrame:
    """The rows that the filters leave, in the chosen order; `toxicity` is the column that is filtered and sorted by."""
    groups = sorted(frame["group"].unique())
    if view()["group"] not in ("", *groups):
        choose("group", "")
    first, second, third, fourth = st.columns([2, 2, 2, 3], gap="medium", vertical_alignment="bottom")
    first.selectbox(
        "Group",
        ["", *groups],
        format_func=lambda group: group.replace("_", " ") or "all groups",
        **bound("group", moved=to_first_page),
    )
    second.selectbox("Order", list(words.ORDERS), format_func=words.ORDERS.get, **bound("order", moved=to_first_page))
    third.slider(
        "Toxicity at least",
        0.0,
        1.0,
        step=0.01,
        help=words.TERMS["toxicity"],
        **bound_value("least", moved=to_first_page),
    )
    fourth.text_input(
        "Search", placeholder="words in the prompt or the text", **bound_value("search", moved=to_first_page)
    )
    keep = matching(frame, columns, view()["search"]) & (frame[toxicity].to_numpy() >= view()["least"])
    if view()["group"]:
        keep &= (frame["group"] == view()["group"]).to_numpy()
    frame = frame[keep]
    if view()["order"] != "drawn":
        frame = frame.sort_values(toxicity, ascending=view()["order"] == "mild", kind="stable")
    return frame


def show_texts(study: Study, axis: str) -> None:
    """The continuations of the intact model."""
    if axis not in study.axes and not (axis == MEAN_TOXICITY and study.axes):
        st.info(words.no_texts_of([axis_text(other) for other in study.axes]))
        return
    frame = texts(study, axis)
    found = filtered(frame, ["prompt", "continuation"], "toxicity")
    revealed = heading(found, len(frame), "texts", f"continuations.{study.name}.{axis}.csv")

    def draw(row) -> None:
        about = f"{plain(row.group.replace('_', ' '))} · toxicity {format_fixed(row.toxicity, 2)}"
        if not revealed:
            st.caption(f"*{words.HIDDEN}* {about}")
            return
        with st.container(border=True, gap="small"):
            st.markdown(text_markdown(row.prompt, row.continuation, revealed=True))
            st.caption(about)

    paged(found, draw)


def show_pairs(study: Study, axis: str, current: str | None) -> None:
    """The continuations before and after pruning one of the measured sets, the words that differ marked."""
    chosen = measured_set_or_stop(study, axis, current)
    try_panel(study, chosen.target.heads, chosen.target.compensate)
    frame = pairs(study, chosen)
    frame = frame[frame["axis"] == axis]
    if frame.empty:
        st.info(words.NO_PAIRED_TEXTS)
        return
    found = filtered(frame, ["prompt", "continuation_before", "continuation_after"], "toxicity_before")
    share = format_fixed(100 * changed_share(frame), 0)
    st.caption(f"{share}\u00a0% of the texts changed. {words.SAME_NOISE}")
    revealed = heading(found, len(frame), "pairs", f"pairs.{study.name}.{axis}.{chosen.target.split}.csv")
    marks = marking_switch(study, chosen, axis, len(frame)) if revealed else {}
    limit = limit_of(marks)

    def draw(row) -> None:
        toxicity = (row.toxicity_before, row.toxicity_after)
        with st.container(border=True, gap="small"):
            if (marked := marks.get((row.block, row.place))) is not None:
                show_marked(marked, toxicity, limit)
            else:
                show_pair(
                    RatedPair(row.continuation_before, row.continuation_after, *toxicity), row.prompt, revealed=revealed
                )
            st.caption(plain(row.group.replace("_", " ")))

    paged(found, draw)


def sets_by_key(study: Study, axis: str) -> dict[str, MeasuredSet]:
    """The sets that were measured on texts of this axis, by how an address names them."""
    found = measured_sets(study, stream=stream_of(axis), identity=evaluation_identity(study))
    return {f"{s.target.split}:{s.target.name}": s for s in found}


def current_set(study: Study, scores: HeadScores, axis: str) -> str | None:
    """The set that the Prune page shows, where it was measured, on test prompts or else on validation prompts."""
    heads = current_heads(choosing_scores(study, scores, axis), axis)
    if heads is None:
        return None
    measured, name = sets_by_key(study, axis), pruned_name(heads, view()["compensate"])
    return next((key for split in ("test", "valid") if (key := f"{split}:{name}") in measured), None)


def measured_set_or_stop(study: Study, axis: str, current: str | None) -> MeasuredSet:
    """The chosen set of heads, by default the `current` one; ends the page where there is none."""
    sets = sets_by_key(study, axis)
    if not sets:
        st.info(words.NO_PAIRS)
        address = {**address_of_view(), **({"metric": "toxicity"} if axis in study.axes else {})}
        st.page_link("pages/prune.py", label="Go to Prune", query_params=address)
        raise EndOfPage
    if view()["set"] not in (None, *sets):
        choose("set", None)
    st.selectbox(
        "Pruned heads",
        list(sets),
        help=f"{words.TERMS['roles']} {words.TERMS['split']}",
        format_func=lambda key: set_name(sets[key]),
        **bound("set", default=current or next(iter(sets))),
    )
    return sets[view()["set"] or current or next(iter(sets))]


def set_name(found: MeasuredSet) -> str:
    """A measured set for people."""
    heads = heads_text(found.target.heads)
    what = found.name or (heads if len(heads) <= 40 else f"{heads[:40]}…")
    how = f" ({words.COMPENSATED[found.target.compensate]})" if found.target.compensate != "none" else ""
    return f"{some_heads(len(found.target.heads))}{how} · {found.target.split} prompts · {what}"


def heading(found: pd.DataFrame, n: int, what: str, filename: str) -> bool:
    """How many were found, the download, and the switch that shows texts; whether they are to be shown."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        revealed = reveal_toggle("continuations")
        st.markdown(count_line(len(found), n, what))
        st.download_button(
            f"Download these {what} (CSV)",
            lambda: found.to_csv(index=False),
            filename,
            "text/csv",
            disabled=not revealed,
            help=None if revealed else words.HIDDEN_CSV,
        )
    if found.empty:
        st.info(words.NO_MATCH)
    return revealed


study, scores = start_page("Continuations", of_texts=True)
if not study.has_model:
    st.info(words.NO_TEXTS)
    raise EndOfPage
axis = axis_picker(scores, [*scores.targets, *study.axes], first=study.axes)
try:
    current = current_set(study, scores, axis) if axis in scores.targets else None
    first = "study" if current is None and axis in study.axes else "pairs"
    st.segmented_control(
        "Show", list(words.TEXTS), format_func=words.TEXTS.get, required=True, **bound("texts", default=first)
    )
    if (view()["texts"] or first) == "study":
        show_texts(study, axis)
    else:
        show_pairs(study, axis, current)
except InputError as error:
    st.error(plain(error))
