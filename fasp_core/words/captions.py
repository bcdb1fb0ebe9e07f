"""The sentences beside a chart: what it shows, how sure that is, and its text alternative. Plain text, no markup."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from .estimates import Estimate
from .figures import colour_limit
from .numbers import axis_label, differs_from_zero, format_estimate, format_fixed, format_interval, format_number
from .selection import Head
from .stability import TopOverlap

if TYPE_CHECKING:
    from .correlations import AxisCorrelations


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


def describe_top(overlap: TopOverlap | None) -> str:
    """What of the top of a ranking would stay, in words; nothing where it cannot be told."""
    if overlap is None:
        return ""
    low, high = overlap.low, overlap.high
    span = f"{low}" if low == high else f"{low} to {high}"
    return (
        f"Of the {overlap.k} heads with the highest z_bias, about {overlap.expected:.0f} would be among the top "
        f"{overlap.k} again ({span}; luck alone gives {overlap.by_chance:.1f})."
    )


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


def describe_noise(floor: float | None, corrected: Estimate | None) -> str:
    """What noise does to a bias: its floor, the bias without it, and whether any is left; empty where not known."""
    if floor is None or corrected is None or not math.isfinite(corrected.value):
        return ""
    words = (
        f"With this many texts noise alone would give {format_number(floor, corrected.se)}; without it the bias is "
        f"{format_estimate(corrected.value, corrected.se)}"
    )
    if math.isfinite(corrected.low) and corrected.low <= 0:
        return words + ", which cannot be told from none."
    return words + "."


def describe_correlations(every: AxisCorrelations, unprotected: AxisCorrelations) -> str:
    """How the correlations between axes change without the protected heads; the two must be of the same axes."""
    if every.axes != unprotected.axes:
        raise ValueError(f"correlations of {every.axes} and of {unprotected.axes} cannot be compared")
    pairs = np.triu_indices(len(every.axes), 1)
    known = np.isfinite(every.r[pairs]) & np.isfinite(unprotected.r[pairs])
    protected = _count(every.n_heads - unprotected.n_heads, "protected head", "protected heads")
    if not pairs[0].size:
        return "There is one axis only, and nothing to correlate it with."
    if not known.any():
        return "Whether the biases go together cannot be told from these scores."
    if every.n_heads == unprotected.n_heads:
        return f"No head is protected: both are over all {every.n_heads:,} heads."
    before, after = (float(np.median(c.r[pairs][known])) for c in (every, unprotected))
    where = f"median of {_count(int(known.sum()), 'pair', 'pairs')} of axes" if known.sum() > 1 else "the pair of axes"
    numbers = (
        f"Correlation over all {every.n_heads:,} heads: {format_fixed(before, 2)} ({where}); without the {protected}: "
        f"{format_fixed(after, 2)}. "
    )
    strongest = int(np.argmax(np.where(known, np.abs(every.r[pairs]), -1)))
    a, b = (index[strongest] for index in pairs)
    names = f"{axis_label(every.axes[a])} with {axis_label(every.axes[b]).lower()}"
    ends = [f"{format_fixed(c.r[a, b], 2)} ({_ends(c.low[a, b], c.high[a, b])})" for c in (every, unprotected)]
    return numbers + f"The strongest, {names}: {ends[0]} and {ends[1]}. " + _what_correlations_mean(before, after)


def _what_correlations_mean(before: float, after: float) -> str:
    if abs(before) - abs(after) > 0.2:
        return (
            "So the biases go together because of a few heads that the model cannot do without, whose loss changes "
            "everything. Among the others little of it is left, or noise hides it: see the values corrected for noise."
        )
    if abs(after) - abs(before) > 0.2:
        return "So the protected heads hide how much the others go together."
    if abs(after) < 0.2:
        return "So heads that drive one bias are not seen to drive the others; noise may hide it."
    return "So the protected heads are not what makes the biases go together."


def _ends(low: float, high: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "interval not known"
    return f"95\u00a0% interval {format_fixed(low, 2)} to {format_fixed(high, 2)}"


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"
