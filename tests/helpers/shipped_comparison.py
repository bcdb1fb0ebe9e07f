"""The comparisons that come with the project, as the tables of README and docs/experiments.md show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from fasp_core.comparison.differences import differences_on_test
from fasp_core.comparison.table import ComparisonTable, list_comparisons, pool, read_comparison
from fasp_core.files.paths import PROJECT
from fasp_core.models.compensation_choice import SPOKEN
from fasp_core.stats.normal import Z95
from fasp_core.stats.omnibus import holm
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.study import open_study
from fasp_core.words.numbers import UNITS, axis_label, format_interval, format_number

OTHER_HEAD = ("model", "against", "perplexity")  # and what was pruned for
HEAD = ("method", "in their place", "heads", "perplexity")


def shipped_comparison(axis: str, methods: Sequence[str]) -> ComparisonTable:
    """The comparison of just these methods on an axis that the default study holds."""
    study = open_study("default", PROJECT / "cache")
    tables = [read_comparison(study, name) for name in list_comparisons(study)]
    (found,) = [one for one in tables if one.axis == axis and one.meta["settings"]["methods"] == list(methods)]
    return found


def written_out(axis: str, methods: Sequence[str]) -> str:
    """A comparison in Markdown: the intact model, the table, and what is clear in it."""
    table = shipped_comparison(axis, methods)
    intact = f"The intact model on test prompts: {intact_on_test(table)}."
    return f"{intact}\n\n{rows_on_test(table)}\n{clear_after_holm(table)}\n"


def differences_written_out(axis: str, methods: Sequence[str]) -> str:
    """The models of a comparison against its baselines' in Markdown, and which of these differences are clear."""
    table = shipped_comparison(axis, methods)
    found = differences_on_test(table)
    head = (*OTHER_HEAD, _target(table))
    rows = [head, ("---",) * len(head)]
    rows += [(_model(row), _other(row), per_cent(row, "_ppl"), per_cent(row, "")) for row in found.itertuples()]
    clear = [
        f"{_model(row)} against {_other(row)} ({'less' if row.change < 0 else 'more'}, p = {p:.2g})"
        for row, p in zip(found.itertuples(), adjusted_p(found), strict=True)
        if p <= 0.05
    ]
    text = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    told = "; ".join(clear) or "none"
    adjusted = f"After adjustment for all {len(found)} differences (Holm), the {_target(table)} differs clearly for"
    return f"{text}\n{adjusted}: {told}.\n"


def side_effects_written_out(axis: str, methods: Sequence[str]) -> str:
    """What the pruned models of a comparison on test change of every axis's bias, in Markdown, as differences."""
    table = shipped_comparison(axis, methods)
    test = pool(table.frame[table.frame["split"] == "test"])
    rows = test[test["metric"].str.startswith("bias.") & (test["n_pruned"] > 0)]
    n = table.frame.loc[table.frame["metric"].str.startswith("bias."), "n"]
    assert n.nunique() == 1, "the sentence below gives one number of readings"
    unit = UNITS[table.metric]
    lines = [("axis", "model", "bias of the intact model", "change"), ("---",) * 4]
    for row in rows.sort_values("before", ascending=False).itertuples():
        error = (row.change_high - row.change_low) / 4
        change = f"{format_number(row.change, error, signed=True)}{unit}"
        interval = format_interval(row.change_low, row.change_high, signed=True)
        before = f"{format_number(row.before, row.before / 100)}{unit}"
        lines.append((axis_label(row.metric.removeprefix("bias.")), _model(row), before, f"{change} ({interval})"))
    written = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"On {n.iloc[0]:,.0f} readings of *test* prompts an axis, with 95 % intervals:\n\n{written}"


def _target(table: ComparisonTable) -> str:
    """What was pruned for, in a word or two."""
    return "mean toxicity" if table.axis == MEAN_TOXICITY else "bias"


def _model(row: Any) -> str:
    return f"`{row.method}`, {SPOKEN[row.compensate]}, {row.n_pruned} heads"


def _other(row: Any) -> str:
    return f"`{row.against}`, {SPOKEN[row.against_compensate]}"


def rows_on_test(table: ComparisonTable) -> str:
    """A row for every pruned model: what pruning changed on test prompts, in per cent with 95 % intervals."""
    test = pool(table.frame[table.frame["split"] == "test"])
    test = test[test["n_pruned"] > 0]
    ppl, bias = (test[test["metric"] == name] for name in ("ppl", f"bias.{table.axis}"))
    both = bias.merge(ppl, on=["method", "gamma", "alpha", "compensate"], suffixes=("", "_ppl"))
    order = table.meta["settings"]["methods"]
    both = both.assign(place=both["method"].map(order.index), way=both["compensate"].map(list(SPOKEN).index))
    both = both.sort_values(["place", "way", "n_pruned"])
    head = (*HEAD, _target(table))
    rows = [head, ("---",) * len(head)]
    for row in both.itertuples():
        changes = [per_cent(row, "_ppl"), per_cent(row, "")]
        rows.append((f"`{row.method}`", SPOKEN[row.compensate], str(row.n_pruned), *changes))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def per_cent(row: pd.Series, of: str) -> str:
    """A relative change with its interval: `+5.7 % (+4.1 to +7.3)`."""
    value, low, high = (100 * getattr(row, f"relative{end}{of}") for end in ("", "_low", "_high"))
    return f"{format_number(value, (high - low) / 4, signed=True)} % ({format_interval(low, high, signed=True)})"


def intact_on_test(table: ComparisonTable) -> str:
    """The intact model's perplexity and bias on test prompts, and on how much they were measured."""
    rows = table.frame[(table.frame["split"] == "test") & (table.frame["n_pruned"] == 0)]
    ppl, bias = (rows[rows["metric"] == name].iloc[0] for name in ("ppl", f"bias.{table.axis}"))
    value = f"{format_number(bias['before'], bias['before'] / 100)}{UNITS[table.metric]}"
    return (
        f"perplexity {format_number(ppl['before'], 1.0)} on {ppl['n']:.0f} text windows, {_target(table)} {value} on "
        f"{bias['n']:,.0f} {'readings' if table.metric == 'likelihood' else 'continuations'}"
    )


def clear_after_holm(table: ComparisonTable) -> str:
    """The models whose bias changed clearly at 5 % after adjustment for all models of the table (Holm 1979)."""
    test = pool(table.frame[table.frame["split"] == "test"])
    bias = test[(test["metric"] == f"bias.{table.axis}") & (test["n_pruned"] > 0)]
    clear = [
        f"`{row.method}` with {SPOKEN[row.compensate]} in the place of {row.n_pruned} heads "
        f"({'lower' if row.change < 0 else 'higher'}, p = {p:.2g})"
        for row, p in zip(bias.itertuples(), adjusted_p(bias), strict=True)
        if p <= 0.05
    ]
    found = "; ".join(clear) or "none"
    return f"After adjustment for all {len(bias)} models (Holm), the {_target(table)} differs clearly for: {found}."


def adjusted_p(rows: pd.DataFrame) -> np.ndarray:
    """p-values of pooled changes, adjusted for all of them (Holm 1979)."""
    error = (rows["change_high"] - rows["change_low"]) / (2 * Z95)  # Student's intervals: rather too large
    return holm(2 * norm.sf((rows["change"] / error).abs()))
