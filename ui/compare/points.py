"""Points of a comparison in numbers: tables, the change of a point in words, and its address on the Prune page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from fasp_core.comparison.budget import affordable
from fasp_core.comparison.table import ComparisonTable
from fasp_core.figures.curves import curve_label
from fasp_core.words.numbers import bias_text, format_fixed
from ui import words
from ui.address import write_weights
from ui.columns import explained
from ui.text import plain

LIMITS = (0.05, 0.1)


def summary_table(frame: pd.DataFrame, test: pd.DataFrame, table: ComparisonTable) -> None:
    """What each method does to the bias within a budget, curves in the order of `test`."""
    curves = list(test[["method", "compensate"]].drop_duplicates().itertuples(index=False, name=None))
    lines = {
        (method, way): {"method": method, "in their place": words.COMPENSATIONS[way].lower()} for method, way in curves
    }
    for limit in LIMITS:
        best = {
            (row.method, row.compensate): row for row in affordable(frame, f"bias.{table.axis}", limit).itertuples()
        }
        for curve, line in lines.items():
            fits = curve in best and best[curve].n_pruned > 0
            text = f"{change_of(best[curve])} at α {best[curve].alpha:g}" if fits else words.NO_SET_FITS
            line[f"at most {100 * limit:g} % more perplexity"] = text
    bias = bias_text(table.axis, table.metric)
    st.markdown(f"**{plain(words.SUMMARY.format(bias))}**", help=words.TERMS["bias"])
    st.table(
        pd.DataFrame(lines.values()).map(plain), hide_index=True, alt="What each method does to the bias, by limit"
    )
    st.caption(words.SUMMARY_NOTE)


def points_table(study: str, table: ComparisonTable, pooled: pd.DataFrame) -> None:
    """Every point of the charts, with the way to its configuration on the Prune page."""
    point = ["method", "gamma", "alpha", "compensate"]
    rows = pooled[pooled["metric"] == f"bias.{table.axis}"].sort_values("alpha", kind="stable")
    rows = rows.merge(pooled[pooled["metric"] == "ppl"], on=point, suffixes=("", "_ppl"))
    rows = rows.assign(compensate=rows["compensate"].where(rows["n_pruned"] > 0, "none"))
    rows = rows.drop_duplicates(["method", "alpha", "compensate"])  # the intact model once
    frame = pd.DataFrame(
        {
            "α": rows["alpha"],
            "method": rows["method"],
            "in their place": [words.COMPENSATIONS[way].lower() for way in rows["compensate"]],
            "γ": ["" if pd.isna(gamma) else f"{gamma:g}" for gamma in rows["gamma"]],
            "heads": rows["n_pruned"],
            "perplexity": [change_of(r, "_ppl") for r in rows.itertuples()],
            "bias": [change_of(r) for r in rows.itertuples()],
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
            "in their place": st.column_config.Column(width="medium", help=words.COLUMNS["in their place"]),
            "perplexity": st.column_config.Column("change of perplexity", help=words.TERMS["perplexity"]),
            "bias": st.column_config.Column(
                f"change of {bias_text(table.axis, table.metric)}", help=words.COLUMNS["bias"]
            ),
            "open": st.column_config.LinkColumn("Prune page", display_text="open"),
        },
    )


def differences_table(rows: pd.DataFrame, table: ComparisonTable, against: str) -> None:
    """How models differ from another one of the same α, named `against`; `rows` of `differences_on_test`."""
    bias = bias_text(table.axis, table.metric)
    frame = pd.DataFrame(
        {
            "α": rows["alpha"],
            "method": rows["method"],
            "in their place": [words.COMPENSATIONS[way].lower() for way in rows["compensate"]],
            "heads": rows["n_pruned"],
            "perplexity": [change_of(r, "_ppl") for r in rows.itertuples()],
            "bias": [change_of(r) for r in rows.itertuples()],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        height=min(420, 38 + 35 * len(frame)),
        alt=f"Difference of every model from {against}",
        column_config={
            **explained(frame),
            "in their place": st.column_config.Column(width="medium", help=words.COLUMNS["in their place"]),
            "perplexity": st.column_config.Column("difference of perplexity", help=words.DIFFERENCE_HELP),
            "bias": st.column_config.Column(f"difference of {bias}", help=words.DIFFERENCE_HELP),
        },
    )


def curve_of(row: Any) -> str:
    """The method of a point, and what takes the heads' place where that is something."""
    return curve_label(row.method, row.compensate if row.n_pruned else "none")


def change_of(row: Any, of: str = "") -> str:
    """A relative change with its interval: `−12 % (−30 to +5)`; `of` is the ending of its columns."""
    value, low, high = (100 * float(getattr(row, f"relative{end}{of}")) for end in ("", "_low", "_high"))
    decimals = 0 if high - low > 20 else 1
    low_text, high_text = (format_fixed(end, decimals, signed=True) if end == end else "–" for end in (low, high))
    return f"{format_fixed(value, decimals, signed=True)} % ({low_text} to {high_text})"


def prune_query(study: str, table: ComparisonTable, row: Any) -> dict[str, str]:
    """The address of a point's configuration on the Prune page, with its heads: other scores may choose others now.

    For fasp_iterative the heads alone, whose order may not be there.
    """
    query = {"study": study, "axis": table.axis, "metric": table.metric}
    if row.n_pruned:
        query["heads"] = row.heads
        if row.compensate != "none":
            query["compensate"] = row.compensate
    if row.method == "fasp_iterative":
        return query
    if row.method == "fasp_multi":
        query["weights"] = write_weights(tuple(table.meta["settings"]["weights"].items()))
    if not pd.isna(row.gamma):
        query["gamma"] = f"{row.gamma:.2f}"
    return {**query, "method": row.method, "alpha": f"{row.alpha:g}", "seed": str(row.seed)}
