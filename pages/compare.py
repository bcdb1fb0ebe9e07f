"""Compare: methods of pruning side by side on test prompts, and the runs that measure them."""

import streamlit as st

from fasp_core.access import is_viewer
from fasp_core.comparison.table import ComparisonTable, list_comparisons
from fasp_core.errors import InputError
from fasp_core.selection.clearest import clearest_axis
from fasp_core.selection.head_scores import HeadScores
from fasp_core.study.study import Study
from fasp_core.words.numbers import bias_text, sentence_start
from ui import words
from ui.caches import comparison
from ui.compare.results import show_results
from ui.compare.runs import run_form, watch_runs
from ui.page import start_page
from ui.text import plain
from ui.view import bound, choose, view


def readable(study: Study) -> dict[str, ComparisonTable]:
    """The study's comparisons by name, the last begun first; a damaged one is named and left out."""
    found = {}
    for name in list_comparisons(study):
        try:
            found[name] = comparison(study, name)
        except InputError as error:
            st.warning(plain(error))
    return found


def label(table: ComparisonTable) -> str:
    """A comparison for people: axis and measure, number of methods, when it was begun, whether it is complete."""
    n = table.frame["method"].nunique()
    begun = table.meta["created"].replace("T", " ")[:16]
    state = "" if table.complete else ", not complete"
    bias = sentence_start(bias_text(table.axis, table.metric))
    return f"{bias}: {n} {'method' if n == 1 else 'methods'}, {begun}{state}"


def first_shown(tables: dict[str, ComparisonTable], scores: HeadScores) -> str:
    """The last begun on the axis that the other pages show; where there is none, the last begun."""
    axis = view()["axis"] or clearest_axis(scores)
    return next((name for name, table in tables.items() if table.axis == axis), next(iter(tables)))


study, scores = start_page("Compare")
tables = readable(study)
if study.has_model and scores.axes and not is_viewer():
    with st.expander("New comparison", expanded=not tables):
        run_form(study, scores)
    watch_runs(study)
if tables:
    if view()["comparison"] not in (None, *tables):
        choose("comparison", None)
    first = first_shown(tables, scores)
    if len(tables) > 1:
        st.selectbox(
            "Comparison", tables, format_func=lambda name: label(tables[name]), **bound("comparison", default=first)
        )
    shown = view()["comparison"] or first
    if len(tables) == 1:
        st.caption(plain(label(tables[shown])))
    show_results(study.name, tables[shown])
elif not study.has_model:
    st.info(words.COMPARE_WITHOUT_MODEL)
else:
    st.info(words.NO_COMPARISON)
