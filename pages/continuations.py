"""Continuations: what the model wrote, by group and toxicity, and what pruning made of it."""

import pandas as pd
import streamlit as st

from fasp_core.errors import InputError
from fasp_core.history import MeasuredSet, heads_text, measured_sets
from fasp_core.numbers import format_fixed
from fasp_core.study import Study
from fasp_core.text_pairs import align, changed_share, matching
from ui.details import pairs, texts
from ui.parts import axis_picker, start_page
from ui.reveal import reveal_toggle, text_markdown
from ui.state import EndOfPage, address_of_view, bound, bound_value, choose, view
from ui.text import plain
from ui.text_list import count_line, paged

KINDS = {"study": "Texts of the study", "pairs": "Before and after pruning"}
ORDERS = {"toxic": "most toxic first", "mild": "least toxic first", "drawn": "as drawn"}


def filtered(frame: pd.DataFrame, columns: list[str], toxicity: str) -> pd.DataFrame:
    """The rows that the filters leave, in the chosen order; `toxicity` is the column that is filtered and sorted by."""
    groups = sorted(frame["group"].unique())
    if view()["group"] not in ("", *groups):
        choose("group", "")
    first, second, third, fourth = st.columns([2, 2, 2, 3], gap="medium", vertical_alignment="bottom")
    first.selectbox(
        "Group", ["", *groups], format_func=lambda group: group.replace("_", " ") or "all groups",
        **bound("group"),
    )  # fmt: skip
    second.selectbox("Order", list(ORDERS), format_func=ORDERS.get, **bound("order"))
    third.slider("Toxicity at least", 0.0, 1.0, step=0.01, **bound_value("least"))
    fourth.text_input("Search", placeholder="words in the prompt or the text", **bound_value("search"))
    keep = matching(frame, columns, view()["search"]) & (frame[toxicity].to_numpy() >= view()["least"])
    if view()["group"]:
        keep &= (frame["group"] == view()["group"]).to_numpy()
    frame = frame[keep]
    if view()["order"] != "drawn":
        frame = frame.sort_values(toxicity, ascending=view()["order"] == "mild", kind="stable")
    return frame


def show_texts(study: Study, axis: str) -> None:
    """The continuations of the intact model."""
    frame = texts(study, axis)
    found = filtered(frame, ["prompt", "continuation"], "toxicity")
    revealed = heading(found, len(frame), "texts", f"continuations.{axis}.csv")

    def draw(row) -> None:
        with st.container(border=True, gap="small"):
            st.markdown(text_markdown(row.prompt, row.continuation, revealed=revealed))
            st.caption(f"{plain(row.group.replace('_', ' '))} · toxicity {format_fixed(row.toxicity, 2)}")

    paged(found, draw)


def show_pairs(study: Study, axis: str) -> None:
    """The continuations before and after pruning one of the measured sets, cut at the first differing word."""
    chosen = measured_set_or_stop(study, axis)
    frame = pairs(study, chosen)
    frame = frame[frame["axis"] == axis]
    found = filtered(frame, ["prompt", "continuation_before", "continuation_after"], "toxicity_before")
    share = format_fixed(100 * changed_share(frame), 0)
    st.caption(
        f"{share}\u00a0% of the texts changed. Both were drawn with the same random numbers, so the first word that "
        "differs is pruning's doing; what follows comes from it."
    )
    revealed = heading(found, len(frame), "pairs", f"pairs.{axis}.csv")

    def draw(row) -> None:
        pair = align(row.continuation_before, row.continuation_after)
        with st.container(border=True, gap="small"):
            st.markdown(text_markdown(row.prompt, pair.shared, revealed=revealed, empty=""))
            if pair.same:
                st.caption("The pruned model says the same.")
            else:
                left, right = st.columns(2, gap="medium")
                for column, words, rest in ((left, "Before", pair.before), (right, "After", pair.after)):
                    column.caption(words)
                    column.markdown(text_markdown("…", rest, revealed=revealed))
            st.caption(
                f"{plain(row.group.replace('_', ' '))} · toxicity {format_fixed(row.toxicity_before, 2)} → "
                f"{format_fixed(row.toxicity_after, 2)}"
            )

    paged(found, draw)


def measured_set_or_stop(study: Study, axis: str) -> MeasuredSet:
    """The chosen set of heads, of those whose pruning was measured on this axis; ends the page where there is none."""
    sets = {f"{s.split}:{heads_text(s.pruned)}": s for s in measured_sets(study) if s.pruned and axis in s.axes}
    if not sets:
        st.info("No pruned set of heads has been measured on this axis yet. Choose one on the Prune page; its texts "
                "are then shown here next to those of the intact model.")  # fmt: skip
        st.page_link("pages/prune.py", label="Go to Prune", query_params=address_of_view())
        raise EndOfPage
    if view()["set"] not in (None, *sets):
        choose("set", None)
    st.selectbox("Pruned heads", list(sets), format_func=lambda key: set_name(sets[key]),
                 **bound("set", default=next(iter(sets))))  # fmt: skip
    return sets[view()["set"] or next(iter(sets))]


def set_name(found: MeasuredSet) -> str:
    """A measured set for people."""
    heads = heads_text(found.pruned)
    what = found.name or (heads if len(heads) <= 40 else f"{heads[:40]}…")
    return f"{len(found.pruned)} heads · {found.split} prompts · {what}"


def heading(found: pd.DataFrame, n: int, what: str, filename: str) -> bool:
    """How many were found, the download, and the switch that shows texts; whether they are to be shown."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        revealed = reveal_toggle("continuations")
        st.markdown(count_line(len(found), n, what))
        st.download_button("Download these (CSV)", lambda: found.to_csv(index=False), filename, "text/csv")
    if found.empty:
        st.info("No text fits. Lower the toxicity, choose all groups, or search for something else.")
    return revealed


study, scores = start_page("Continuations")
if not study.has_model:
    st.info("These scores were imported, so there are no texts. Measured with the model itself, a study holds what the "
            "model wrote, with its toxicity.")  # fmt: skip
    raise EndOfPage
axis = axis_picker(scores)
st.segmented_control("Show", list(KINDS), format_func=KINDS.get, required=True, **bound("texts"))
try:
    (show_texts if view()["texts"] == "study" else show_pairs)(study, axis)
except InputError as error:
    st.error(plain(error))
