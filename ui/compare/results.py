"""What a comparison found: curves, trade-off, side effects, predictions, and tables that lead to the Prune page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from fasp_core.comparison.budget import affordable, repeated_methods
from fasp_core.comparison.table import ComparisonTable, pool
from fasp_core.figures import comparison_curves, predicted_measured, side_effects, trade_off
from fasp_core.figures.comparison import axis_end, both_metrics, metric_label
from fasp_core.selection.rules import METHODS
from fasp_core.words.numbers import axis_label, format_fixed
from ui import words
from ui.address import read_view
from ui.charts import draw
from ui.columns import explained
from ui.prune.choice import CHOICE
from ui.text import plain
from ui.theme import dark
from ui.view import address_of_view, choose

LIMITS = (0.05, 0.1)
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
    shown = shown or present
    pooled = pooled[pooled["method"].isin(shown)].reset_index(drop=True)
    _summary(table.frame[table.frame["method"].isin(shown)], test, table.axis)
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(f"**Bias against α** · {words.BIAS_CURVE}", help=words.TERMS["bias"])
        _chart(
            "bias_curve",
            comparison_curves(pooled, f"bias.{table.axis}", dark=dark()),
            study,
            table,
            pooled,
            "Change of bias against the share of heads pruned, a line per method",
        )
    with right:
        st.markdown(f"**Perplexity against α** · {words.PPL_CURVE}", help=words.TERMS["perplexity"])
        _chart(
            "ppl_curve",
            comparison_curves(pooled, "ppl", dark=dark()),
            study,
            table,
            pooled,
            "Change of perplexity against the share of heads pruned, a line per method",
        )
    _note_beyond(pooled)
    trade, effects, predictions = st.tabs(["Bias against perplexity", "Side effects", "Predicted and measured"])
    with trade:
        _chart(
            "trade_off",
            trade_off(pooled, table.axis, dark=dark()),
            study,
            table,
            pooled,
            "Change of bias against change of perplexity, a marker per method and α",
        )
        st.caption(words.TRADE_OFF)
    with effects:
        _side_effects(study, table, pooled)
    with predictions:
        _predictions(study, table, pooled)
    st.header("Best γ per α", anchor=False, help=f"{words.TERMS['gamma']} {words.TERMS['alpha']}")
    _points_table(study, table, pooled)
    st.download_button(
        "Download all rows (CSV)",
        table.frame.to_csv(index=False),
        f"comparison.{table.name}.csv",
        "text/csv",
        help=words.ALL_ROWS,
    )


def _note_beyond(pooled: pd.DataFrame) -> None:
    """Which points lie beyond the end of the charts' perplexity axis."""
    ppl = pooled[pooled["metric"] == "ppl"]
    end = axis_end(ppl["relative"])
    if end is not None:
        far = ppl[ppl["relative"] > end]
        points = ", ".join(f"{r.method} at α {r.alpha:g} ({_change(r)})" for r in far.itertuples())
        st.caption(f"Beyond the end of the perplexity axis: {plain(points)}.")


def prune_query(study: str, table: ComparisonTable, row: Any) -> dict[str, str]:
    """The address of a point's configuration on the Prune page; for fasp_iterative the heads themselves, whose order
    another run may have found otherwise."""
    query = {"study": study, "axis": table.axis}
    if row.method == "fasp_iterative":
        return {**query, "heads": row.heads}
    if row.method == "fasp_multi":
        query["weights"] = "-".join(f"{axis}:{weight:g}" for axis, weight in table.meta["settings"]["weights"].items())
    if not pd.isna(row.gamma):
        query["gamma"] = f"{row.gamma:.2f}"
    return {**query, "method": row.method, "alpha": f"{row.alpha:g}", "seed": str(row.seed)}


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
    method, gamma, alpha = point[:3]
    same = (pooled["method"] == method) & (pooled["alpha"] == float(alpha))
    rows = pooled[same & (pooled["gamma"].isna() if gamma == "" else pooled["gamma"] == float(gamma))]
    if rows.empty:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        changes = [f"{plain(metric_label(row.metric))} {plain(_change(row))}" for row in rows.itertuples()]
        st.markdown(f"**{plain(method)}**, α {alpha}{f', γ {gamma}' if gamma else ''}: " + "; ".join(changes))
        if st.button("Open on the Prune page", key=f"open.{key}"):
            _open(prune_query(study, table, next(rows.itertuples())))


def _open(query: dict[str, str]) -> None:
    """Go to the Prune page with what the address means as the view."""
    wanted = read_view(query)
    for name in CHOICE:
        choose(name, wanted[name])
    st.switch_page(PRUNE, query_params=address_of_view())


def _summary(frame: pd.DataFrame, test: pd.DataFrame, axis: str) -> None:
    """What each method does to the bias within a budget, methods in the order of `test`."""
    present = set(frame["method"])
    lines = {method: {"method": method} for method in dict.fromkeys(test["method"]) if method in present}
    for limit in LIMITS:
        best = {row.method: row for row in affordable(frame, f"bias.{axis}", limit).itertuples()}
        for method, line in lines.items():
            text = f"{_change(best[method])} at α {best[method].alpha:g}" if method in best else "at no measured α"
            line[f"at most {100 * limit:g} % more perplexity"] = text
    st.markdown(f"**{words.SUMMARY}**", help=words.TERMS["bias"])
    st.table(
        pd.DataFrame(lines.values()).map(plain), hide_index=True, alt="What each method does to the bias, by limit"
    )
    st.caption(words.SUMMARY_NOTE)


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
    figure = side_effects(pooled[pooled["alpha"] == alpha], table.axis, dark=dark())
    alt = f"Change of every bias when pruning for {axis_label(table.axis).lower()}"
    _chart("side_effects", figure, study, table, pooled, alt)


def _predictions(study: str, table: ComparisonTable, pooled: pd.DataFrame) -> None:
    metric = st.segmented_control(
        "Prediction of",
        [f"bias.{table.axis}", "ppl"],
        format_func=lambda metric: plain(metric_label(metric)),
        required=True,
        default=f"bias.{table.axis}",
        key=f"predicted.{table.name}",
        label_visibility="collapsed",
    )
    _chart(
        "predicted",
        predicted_measured(pooled, metric, dark=dark()),
        study,
        table,
        pooled,
        "Measured change against the change that single-head scores add up to",
    )
    st.caption(words.PREDICTED)
    beyond = int(((pooled["metric"] == metric) & (pooled["predicted"] < -pooled["before"])).sum())
    if beyond:
        st.caption(words.predictions_left_out(beyond))


def _points_table(study: str, table: ComparisonTable, pooled: pd.DataFrame) -> None:
    rows = both_metrics(pooled, table.axis).sort_values("alpha", kind="stable")
    ppl = pooled[pooled["metric"] == "ppl"].set_index(["method", "alpha"])
    frame = pd.DataFrame(
        {
            "α": rows["alpha"],
            "method": rows["method"],
            "γ": ["" if pd.isna(gamma) else f"{gamma:g}" for gamma in rows["gamma"]],
            "heads": rows["n_pruned"],
            "perplexity": [_change(ppl.loc[(r.method, r.alpha)]) for r in rows.itertuples()],
            "bias": [_change(r) for r in rows.itertuples()],
            "open": ["prune?" + urlencode(prune_query(study, table, r)) for r in rows.itertuples()],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        height=min(420, 38 + 35 * len(frame)),
        alt="Every point of the charts in numbers",
        column_config={
            **explained(frame),
            "perplexity": st.column_config.Column("change of perplexity", help=words.TERMS["perplexity"]),
            "bias": st.column_config.Column(
                f"change of {metric_label('bias.' + table.axis)}", help=words.COLUMNS["bias"]
            ),
            "open": st.column_config.LinkColumn("Prune page", display_text="open"),
        },
    )


def _change(row: Any) -> str:
    """A relative change with its interval: `−12 % (−30 to +5)`."""
    value, low, high = (100 * float(getattr(row, name)) for name in ("relative", "relative_low", "relative_high"))
    decimals = 0 if high - low > 20 else 1
    low_text, high_text = (format_fixed(end, decimals, signed=True) if end == end else "–" for end in (low, high))
    return f"{format_fixed(value, decimals, signed=True)} % ({low_text} to {high_text})"
