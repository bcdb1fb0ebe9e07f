"""Compare: methods of pruning side by side on test prompts, and the runs that measure them."""

import streamlit as st

from fasp_core.comparison_table import ComparisonTable, list_comparisons
from fasp_core.errors import InputError
from fasp_core.numbers import axis_label
from fasp_core.study import Study
from ui.compare_results import show_results
from ui.compare_runs import run_form, watch_runs
from ui.parts import start_page
from ui.state import bound, choose, view
from ui.studies import comparison
from ui.text import plain

WITHOUT_MODEL = (
    "These scores were imported without their model, so methods cannot be measured on it. The page *Prune* shows which "
    "heads each method would take; with the model, scored here, this page compares what they do."
)


def readable(study: Study) -> dict[str, ComparisonTable]:
    """The study's comparisons by name, the newest first; a damaged one is named and left out."""
    found = {}
    for name in list_comparisons(study):
        try:
            found[name] = comparison(study, name)
        except InputError as error:
            st.warning(plain(error))
    return found


def label(table: ComparisonTable) -> str:
    """A comparison for people: axis, number of methods, when it was begun, whether it is complete."""
    n = table.frame["method"].nunique()
    begun = table.meta["created"].replace("T", " ")[:16]
    state = "" if table.complete else ", not complete"
    return f"{axis_label(table.axis)}: {n} {'method' if n == 1 else 'methods'}, {begun}{state}"


study, scores = start_page("Compare")
tables = readable(study)
if study.has_model and scores.axes:
    with st.expander("New comparison", expanded=not tables):
        run_form(study, scores)
    watch_runs(study)
if tables:
    if view()["comparison"] not in (None, *tables):
        choose("comparison", None)
    first = next(iter(tables))
    if len(tables) > 1:
        st.selectbox("Comparison", tables, format_func=lambda name: label(tables[name]),
                     **bound("comparison", default=first))  # fmt: skip
    shown = view()["comparison"] or first
    if len(tables) == 1:
        st.caption(plain(label(tables[shown])))
    show_results(study.name, tables[shown])
elif not study.has_model:
    st.info(WITHOUT_MODEL)
else:
    st.info(
        "Nothing has been compared yet. A comparison prunes the model by several methods, at several α, and measures "
        "what that does to bias and perplexity. It can be stopped, goes on where it was, and shows results early."
    )
