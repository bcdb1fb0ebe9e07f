"""What the command line prints on stdout: plain tables and sentences for people, JSON for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .numbers import format_estimate, format_interval, format_number

if TYPE_CHECKING:
    from .estimates import Estimate, Evaluation
    from .head_scores import HeadScores
    from .selection import Head


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Left-aligned columns on stdout, as wide as their widest cell whatever the terminal."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


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
    from .captions import describe_noise
    from .summaries import base_bias_corrected, base_bias_floor

    meta, reliability = table.meta, table.meta.get("reliability") or {}
    if meta.get("base_ppl") is not None:
        print(
            f"perplexity {format_estimate(meta['base_ppl'], meta.get('base_ppl_se'))}{_trust(reliability.get('ppl'))}"
        )
    for axis in axes:
        base = (meta.get("base_bias") or {}).get(axis)
        value = "" if base is None else f" {format_estimate(base, (meta.get('base_bias_se') or {}).get(axis))}"
        print(f"bias {axis}{value}{_trust(reliability.get(axis))}")
        if noise := describe_noise(base_bias_floor(table, axis), base_bias_corrected(table, axis)):
            print(f"  {noise}")
    for note in meta.get("notes") or []:
        print(f"note: {note}")


def _trust(reliability: float | None) -> str:
    """How far the order of heads can be trusted, as a number and in words; nothing where it is not known."""
    from .captions import describe_reliability

    if reliability is None or not math.isfinite(reliability):
        return ""
    return f"; ranking reliability {reliability:.2f}. {describe_reliability(reliability)}"


def print_heads(heads: Iterable[Head], headline: str) -> None:
    """A headline, then the heads of each layer."""
    print(headline)
    layers: dict[int, list[str]] = {}
    for layer, head in heads:
        layers.setdefault(layer, []).append(str(head))
    print_table(("layer", "heads"), [(layer, ", ".join(ids)) for layer, ids in layers.items()])


def print_metrics(result: Evaluation) -> None:
    """Perplexity and every bias, before, after and changed: ± one standard error; and what noise does to a bias."""

    def row(name: str, before: Estimate, after: Estimate, change: Estimate) -> tuple[str, ...]:
        interval = format_interval(change.low, change.high, signed=True)
        effect = f"{format_estimate(change.value, change.se, signed=True)} ({interval})"
        return name, format_estimate(before.value, before.se), format_estimate(after.value, after.se), effect

    parts = (result.before, result.after, result.change)
    rows = [row("perplexity", *(part.ppl for part in parts))]
    for axis in result.after.bias:
        rows.append(row(f"bias {axis}", *(part.bias[axis] for part in parts)))
        if axis in result.after.bias_corrected and axis in result.after.bias_floor:
            floors = (format_number(part.bias_floor[axis], part.bias[axis].se) for part in parts[:2])
            rows.append(("  noise alone gives", *floors, ""))
            rows.append(row("  without noise", *(part.bias_corrected[axis] for part in parts)))
    print_table(("", "before", "after", "change (95 % interval)"), rows)
