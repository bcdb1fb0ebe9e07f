"""What the command line prints on stdout: plain tables and sentences for people, JSON for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fasp_core.head import heads_by_layer
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.words.numbers import BY, format_estimate, format_interval, format_number

if TYPE_CHECKING:
    from fasp_core.evaluation.result import Evaluation
    from fasp_core.head import Head
    from fasp_core.selection.description import IntactBias
    from fasp_core.selection.head_scores import HeadScores
    from fasp_core.selection.select_heads import Selection
    from fasp_core.stats.estimate import Estimate


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Left-aligned columns on stdout, as wide as their widest cell whatever the terminal."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def percent(share: float) -> str:
    """A relative change for people: `−12.3 %`."""
    return f"{format_number(100 * share, 1.0, signed=True)} %"


def print_json(value: Any) -> None:
    """One JSON document on stdout; NaN becomes null, tuples lists."""
    print(json.dumps(_plain(value), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_base(table: HeadScores, axes: Iterable[str]) -> None:
    """What is known of the intact model, how far rankings can be trusted, and the notes."""
    from fasp_core.words.captions import describe_noise
    from fasp_core.words.verdicts import describe_echo, describe_verdict

    if ppl := table.base_ppl:
        print(f"perplexity {format_estimate(ppl.value, ppl.se)}{_trust(table.intact_ppl.reliability)}")
    for axis in axes:
        base = table.base_bias(axis)
        value = "" if base is None else f" {format_estimate(base.value, base.se)}"
        by = "" if axis == MEAN_TOXICITY or table.meta.metric is None else f", {BY[table.meta.metric]},"
        by += f" rated by {table.meta.scorer}:" if table.meta.scorer else ""
        print(f"{bias_name(axis)}{by}{value}{_trust(table.reliability(axis))}")
        verdict = describe_verdict(table.verdict(axis), unit=table.meta.unit)
        echo = describe_echo(table.prompt_echo.get(axis), base, scored=table.meta.settings.scored)
        for sentence in filter(None, (verdict, echo)):
            print(f"  {sentence}")
        if known := table.intact.get(axis):
            print_discount(known)
        if noise := describe_noise(table.base_bias_floor(axis), table.base_bias_corrected(axis)):
            print(f"  {noise}")
    for note in table.meta.notes:
        print(f"note: {note}")


def bias_name(axis: str) -> str:
    """What is measured of an axis, in a line or a column: `bias religion`, or `mean toxicity`."""
    return "mean toxicity" if axis == MEAN_TOXICITY else f"bias {axis}"


def chosen_by(selection: Selection, metric: str | None) -> str:
    """What heads were chosen by: `fasp (gamma 0.3, alpha 0.1): bias religion, by likelihood (nats)`."""
    how = f"{selection.method} (gamma {selection.gamma:g}, alpha {selection.alpha:g})"
    if selection.axis is None:
        return how
    by = "" if metric is None or selection.axis == MEAN_TOXICITY else f", {BY[metric]}"
    return f"{how}: {bias_name(selection.axis)}{by}"


def print_discount(known: IntactBias) -> None:
    """How far scores by advantages may be off, where they are; nothing for others."""
    if known.discount is not None:
        size = "none is seen" if not known.discount_bias else f"about {format_number(known.discount_bias)}"
        print(f"  scores by advantages, λ = {known.discount:g}; their own bias ({size}) is in the errors")


def _trust(reliability: float | None) -> str:
    """How far the order of heads can be trusted, as a number and in words; nothing where it is not known."""
    from fasp_core.words.captions import describe_reliability

    if reliability is None:
        return ""
    return f"; ranking reliability {reliability:.2f}. {describe_reliability(reliability)}"


def print_heads(heads: Iterable[Head], headline: str) -> None:
    """A headline, then the heads of each layer."""
    print(headline)
    rows = [(layer, ", ".join(map(str, members))) for layer, members in heads_by_layer(heads).items()]
    print_table(("layer", "heads"), rows)


def print_metrics(result: Evaluation) -> None:
    """Perplexity and every bias, before, after and changed: ± one standard error; and what noise does to a bias.

    By likelihood the mean log-odds of each group follow.
    """

    def row(name: str, before: Estimate, after: Estimate, change: Estimate) -> tuple[str, ...]:
        interval = format_interval(change.low, change.high, signed=True)
        effect = f"{format_estimate(change.value, change.se, signed=True)} ({interval})"
        return name, format_estimate(before.value, before.se), format_estimate(after.value, after.se), effect

    parts = (result.before, result.after, result.change)
    rows = [row("perplexity", *(part.ppl for part in parts))]
    for metric in BY:
        for axis in result.after.axes_by(metric):
            biases = [part.axes_by(metric)[axis] for part in parts]
            by = "" if axis == MEAN_TOXICITY else f", {BY[metric]}"
            rows.append(row(f"{bias_name(axis)}{by}", *(each.bias for each in biases)))
            floors = [format_number(each.floor, each.bias.se) for each in biases[:2] if each.floor is not None]
            if floors:
                rows.append(("  noise alone gives", *floors, ""))
                rows.append(row("  without noise", *(each.corrected for each in biases)))
            if metric == "likelihood":
                rows += [row(f"  {group}", *(each.groups[group] for each in biases)) for group in biases[0].groups]
    print_table(("", "before", "after", "change (95 % interval)"), rows)
