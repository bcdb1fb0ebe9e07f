"""The sentences beside a chart: what it shows, how sure that is, and its text alternative. Plain text, no markup."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from .estimates import Estimate
from .figures import colour_limit
from .numbers import differs_from_zero, format_estimate, format_fixed, format_interval, format_number
from .selection import Head


def heatmap_caption(values: np.ndarray, errors: np.ndarray, reliability: float | None = None) -> str:
    """How to read a map of one quantity, (layers, heads): its colours' ends, which heads are faded, how reliable."""
    limit = colour_limit(values)
    beyond = int((np.abs(values) > limit).sum())
    clear = int(differs_from_zero(values, errors).sum())
    clip = f"Colours end at ±{format_number(limit, limit / 5)}"
    clip += f", {_count(beyond, 'head lies', 'heads lie')} beyond. " if beyond else ". "
    if np.isnan(errors).all():
        return clip + "No errors are known for these scores."
    end = "" if reliability is None else f" Reliability of their order: {format_fixed(reliability, 2)}."
    return clip + (
        f"{clear:,} of {values.size:,} heads differ from zero (95\u00a0% interval); about "
        f"{round(0.05 * values.size):,} would by chance alone. The others are faded.{end}"
    )


def heatmap_alt(values: np.ndarray, errors: np.ndarray, quantity: str) -> str:
    """Text alternative of a map: its size and its largest and smallest head. `values` is (layers, heads)."""
    parts = []
    for word, index in (("highest", np.nanargmax(values)), ("lowest", np.nanargmin(values))):
        layer, head = np.unravel_index(index, values.shape)
        estimate = format_estimate(values[layer, head], errors[layer, head], signed=True)
        parts.append(f"{word} {estimate} at layer {layer}, head {head}")
    return f"Map of {quantity}, {values.shape[0]} layers by {values.shape[1]} heads: {'; '.join(parts)}."


def describe_reliability(reliability: float | None) -> str:
    """What a reliability (split-half Spearman, Spearman-Brown corrected) means for the order of the heads."""
    if reliability is None or not math.isfinite(reliability):
        return "How far this order of heads can be trusted is unknown."
    if reliability >= 0.9:
        return "Measured again, the order of the heads would hardly change."
    if reliability >= 0.7:
        return "Measured again, the top heads would stay near the top, in a somewhat different order."
    if reliability >= 0.4:
        return "Measured again, the order of the top heads would change: trust tendencies, not single ranks."
    return "Mostly noise: measured again, other heads would come out on top. More samples are needed."


def selection_summary(n_pruned: int, n_protected: int, n_heads: int) -> str:
    """Counts of a selection, for example `27 of 270 heads pruned, 81 protected, 162 kept`."""
    kept = n_heads - n_pruned - n_protected
    return f"{n_pruned:,} of {n_heads:,} heads pruned, {n_protected:,} protected, {kept:,} kept"


def heads_by_layer(heads: Iterable[Head]) -> list[tuple[int, str]]:
    """Heads as text, one line per layer: `[(3, "0, 5"), (7, "2")]`."""
    layers: dict[int, list[int]] = {}
    for layer, head in sorted(heads):
        layers.setdefault(layer, []).append(head)
    return [(layer, ", ".join(map(str, members))) for layer, members in layers.items()]


def change_verdict(quantity: str, change: Estimate) -> str:
    """One sentence on a measured change (after − before): its direction if its 95 % interval leaves out zero."""
    if not math.isfinite(change.se):
        return f"{quantity}: too few samples yet to tell."
    size = (change.low, change.high) if change.value > 0 else (-change.high, -change.low)
    if change.low <= 0 <= change.high and change.se > 0:
        interval = format_interval(change.low, change.high, signed=True)
        return f"{quantity} may not have changed: 95\u00a0% interval {interval}."
    if change.value == 0:
        return f"{quantity} did not change."
    return f"{quantity} {'rose' if change.value > 0 else 'fell'} by {format_interval(*size)} (95\u00a0% interval)."


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"
