"""What a comparison found: curves, trade-off, side effects, predictions, and tables that lead to the Prune page."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from fasp_core.comparison.budget import repeated_methods
from fasp_core.comparison.differences import differences_on_test
from fasp_core.comparison.table import AGAINST, ComparisonTable, pool
from fasp_core.figures import comparison_curves, predicted_measured, side_effects, trade_off
from fasp_core.figures.comparison import axis_end, metric_label, usable_predictions
from fasp_core.figures.curves import curve_label
from fasp_core.selection.rules import METHODS
from fasp_core.words.captions import describe_compared_scores
from fasp_core.words.numbers import bias_text, bias_word, sentence_start
from ui import words
from ui.address import read_view
from ui.charts import draw
from ui.compare.points import change_of, curve_of, differences_table, points_table, prune_query, summary_table
from ui.prune.choice import CHOICE
from ui.text import axis_text, plain
from ui.theme import dark
from ui.view import address_of_view, choose

PRUNE = "pages/prune.py"


def show_results(study: str, table: ComparisonTable) -> None:
    """Everything that the table holds of test prompts; valid ones only chose γ."""
    shown_metrics = table.frame["metric"].str.match(r"ppl$|bias\.")
    test = table.frame[(table.frame["split"] == "test") & shown_metrics]
    if test.empty:
        st.info(words.CHOOSING_GAMMA)
        return
    if not table.complete:
        st.caption(words.INCOMPLETE)
    test = test.sort_values("method", key=lambda names: names.map(METHODS.index), kind="stable")
    repeated = repeated_methods(test)
    test = test[~test["method"].isin(repeated)]
    pooled = pool(test)
    present = list(dict.fromkeys(pooled["method"]))
    shown = st.pills(
        "Methods",
        present,
        format_func=words.method_label,
        selection_mode="multi",
        default=present,
        key=f"shown.{table.name}",
        help=words.TERMS["method"],
    )
    for method, same in repeated.items():
        st.caption(words.same_heads(method, same))
    shown, ways = shown or present, _ways(table)
    if chosen_by := describe_compared_scores(table.scores_under):
        st.caption(chosen_by)
    pooled, frame, test = (
        rows[rows["method"].isin(shown) & rows["compensate"].isin(ways)].reset_index(drop=True)
        for rows in (pooled, table.frame, test)
    )
    bias = plain(bias_text(table.axis, table.metric))
    summary_table(frame, test, table)
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(
            f"**{sentence_start(bias)} against α** · {words.BELOW_0.format(bias_word(table.axis))}",
            help=words.TERMS["bias"],
        )
        _chart(
            "bias_curve",
            comparison_curves(pooled, f"bias.{table.axis}", by=table.metric, dark=dark()),
            study,
            table,
            pooled,
            f"Change of {bias} against the share of heads pruned, a line per method",
        )
    with right:
        st.markdown(f"**Perplexity against α** · {words.PPL_CURVE}", help=words.TERMS["perplexity"])
        _chart(
            "ppl_curve",
            comparison_curves(pooled, "ppl", by=table.metric, dark=dark()),
            study,
            table,
            pooled,
            "Change of perplexity against the share of heads pruned, a line per method",
        )
    _note_beyond(pooled)
    trade, against, effects, predictions = st.tabs(
        ["Bias against perplexity", "Model against model", "Side effects", "Predicted and measured"]
    )
    with trade:
        _chart(
            "trade_off",
            trade_off(pooled, table.axis, by=table.metric, dark=dark()),
            study,
            table,
            pooled,
            f"Change of {bias} against change of perplexity, a marker per method and α",
        )
        st.caption(words.TRADE_OFF)
    with against:
        _differences(table, shown, ways)
    with effects:
        _side_effects(study, table, pooled)
    with predictions:
        _predictions(study, table, pooled)
    st.header("Best γ per α", anchor=False, help=f"{words.TERMS['gamma']} {words.TERMS['alpha']}")
    points_table(study, table, pooled)
    st.download_button(
        "Download all rows (CSV)",
        table.rows.to_csv(index=False),
        f"comparison.{table.name}.csv",
        "text/csv",
        help=words.ALL_ROWS,
    )


def _ways(table: ComparisonTable) -> list[str]:
    """What takes the heads' place in the points that are shown: a choice where there are several."""
    if len(table.compensations) < 2:
        return table.compensations
    shown = st.pills(
        words.COMPENSATE,
        table.compensations,
        format_func=words.COMPENSATIONS.get,
        selection_mode="multi",
        default=table.compensations,
        key=f"ways.{table.name}",
        help=words.COMPENSATE_HELP,
    )
    return shown or table.compensations


def _note_beyond(pooled: pd.DataFrame) -> None:
    """Which points lie beyond the end of the charts' perplexity axis."""
    ppl = pooled[pooled["metric"] == "ppl"]
    end = axis_end(ppl["relative"])
    if end is not None:
        far = ppl[ppl["relative"] > end]
        points = ", ".join(f"{curve_of(r)} at α {r.alpha:g} ({change_of(r)})" for r in far.itertuples())
        st.caption(f"Beyond the end of the perplexity axis: {plain(points)}.")


def _chart(key: str, figure: go.Figure, study: str, table: ComparisonTable, pooled: pd.DataFrame, alt: str) -> None:
    """A chart whose points can be clicked: the point's numbers appear below, with the way to the Prune page."""
    draw(
        figure,
        key=key,
        alt=f"{alt}; the table below holds the same numbers.",
        filename=f"{table.name}.{key}",
        on_select=lambda: None,
    )
    points = st.session_state[key]["selection"]["points"] if key in st.session_state else []
    if points and points[0].get("customdata"):
        _point(key, study, table, pooled, points[0]["customdata"])


def _point(key: str, study: str, table: ComparisonTable, pooled: pd.DataFrame, point: list[str]) -> None:
    method, gamma, alpha, compensate = point
    same = (pooled["method"] == method) & (pooled["alpha"] == float(alpha)) & (pooled["compensate"] == compensate)
    rows = pooled[same & (pooled["gamma"].isna() if gamma == "" else pooled["gamma"] == float(gamma))]
    if rows.empty:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        first = next(rows.itertuples())
        changes = [f"{metric_label(row.metric, table.metric)} {change_of(row)}" for row in rows.itertuples()]
        named = f"**{plain(curve_of(first))}**, α {alpha}{f', γ {gamma}' if gamma else ''}"
        st.markdown(f"{named}, {words.some_heads(first.n_pruned)}: {plain('; '.join(changes))}")
        if st.button("Open on the Prune page", key=f"open.{key}"):
            _open(prune_query(study, table, first))


def _open(query: dict[str, str]) -> None:
    """Go to the Prune page with what the address means as the view."""
    wanted = read_view(query)
    for name in CHOICE:
        choose(name, wanted[name])
    st.switch_page(PRUNE, query_params=address_of_view())


def _differences(table: ComparisonTable, methods: list[str], ways: list[str]) -> None:
    found = differences_on_test(table)
    found = found[found["method"].isin(methods) & found["compensate"].isin(ways)]
    if found.empty:
        st.info(words.NO_DIFFERENCES)
        return
    others = list(found[AGAINST].drop_duplicates().itertuples(index=False, name=None))
    labels = {f"{method}.{way}": curve_label(method, way) for method, way in others}
    chosen = st.segmented_control(
        words.AGAINST,
        list(labels),
        format_func=lambda other: plain(labels[other]),
        required=True,
        default=next(iter(labels)),
        key=f"against.{table.name}",
        help=words.DIFFERENCES,
    )
    method, way = chosen.split(".")
    rows = found[(found["against"] == method) & (found["against_compensate"] == way)]
    differences_table(rows.sort_values("alpha", kind="stable"), table, plain(labels[chosen]))
    st.caption(words.DIFFERENCES)


def _side_effects(study: str, table: ComparisonTable, pooled: pd.DataFrame) -> None:
    if pooled["metric"].nunique() < 3:
        st.info(words.ONE_BIAS)
        return
    alphas = sorted(set(pooled["alpha"]) - {0.0}) or [0.0]
    alpha = alphas[-1]
    if len(alphas) > 1:
        alpha = st.select_slider(
            "α", alphas, value=alpha, key=f"effects.{table.name}", width=420, help=words.TERMS["alpha"]
        )
    figure = side_effects(pooled[pooled["alpha"] == alpha], table.axis, by=table.metric, dark=dark())
    alt = f"Change of every bias by {table.metric} when pruning for {plain(axis_text(table.axis).lower())}"
    _chart("side_effects", figure, study, table, pooled, alt)


def _predictions(study: str, table: ComparisonTable, pooled: pd.DataFrame) -> None:
    metric = st.segmented_control(
        "Prediction of",
        [f"bias.{table.axis}", "ppl"],
        format_func=lambda metric: plain(sentence_start(metric_label(metric, table.metric))),
        required=True,
        default=f"bias.{table.axis}",
        key=f"predicted.{table.name}",
        label_visibility="collapsed",
    )
    if usable_predictions(pooled, metric).empty:
        st.info(words.NO_PREDICTIONS)
        return
    _chart(
        "predicted",
        predicted_measured(pooled, metric, by=table.metric, dark=dark()),
        study,
        table,
        pooled,
        "Measured change against the change that single-head scores add up to",
    )
    st.caption(words.PREDICTED)
    beyond = int(((pooled["metric"] == metric) & (pooled["predicted"] < -pooled["before"])).sum())
    if beyond:
        st.caption(words.predictions_left_out(beyond))
