"""The sentences beside a chart: what it shows, how sure that is, and its text alternative.

Plain text; a few words are marked in Markdown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fasp_core.stats.estimate import Estimate
from fasp_core.stats.normal import differs_from_zero
from fasp_core.stats.stability import TopOverlap
from fasp_core.words.numbers import (
    COUNTED,
    UNITS,
    axis_label,
    colour_limit,
    format_estimate,
    format_fixed,
    format_interval,
    format_number,
)
from fasp_core.words.spoken import some_heads

if TYPE_CHECKING:
    from fasp_core.selection.agreement import Agreement
    from fasp_core.selection.correlations import AxisCorrelations


def heatmap_caption(
    values: np.ndarray, errors: np.ndarray, reliability: float | None = None, *, relative: bool = False
) -> str:
    """How to read a map of one quantity: where its colours end, which heads have a dot, how reliable their order is.

    `relative` says that the values are relative to the median head, so that zero is not "no effect".

    `values` and `errors` (standard errors, NaN where unknown) are (layers, heads).
    """
    limit = colour_limit(values)
    beyond = int((np.abs(values) > limit).sum())
    clear = int(differs_from_zero(values, errors).sum())
    clip = f"Colours end at ±{format_number(limit, limit / 5)}"
    clip += f", {_count(beyond, 'head lies', 'heads lie')} beyond. " if beyond else ". "
    if relative:
        return clip + "0 is the median head: the file has no value of the intact model."
    if np.isnan(errors).all():
        return clip + "No errors are known for these scores."
    end = "" if reliability is None else f" Reliability of their order: {format_fixed(reliability, 2)}."
    marked = f"A dot marks the {clear:,} of {values.size:,} heads that differ" if clear else "No head differs"
    noise = f"expected from noise: about {round(0.05 * values.size):,}."
    return clip + f"{marked} from zero (95\u00a0% interval); {noise}{end}"


def heatmap_alt(values: np.ndarray, errors: np.ndarray, quantity: str) -> str:
    """Text alternative of a map: its size and its largest and smallest head. `values` is (layers, heads)."""
    parts = []
    for word, index in (("highest", np.nanargmax(values)), ("lowest", np.nanargmin(values))):
        layer, head = np.unravel_index(index, values.shape)
        estimate = format_estimate(values[layer, head], errors[layer, head], signed=True)
        parts.append(f"{word} {estimate} at layer {layer}, head {head}")
    return f"Map of {quantity}, {values.shape[0]} layers by {values.shape[1]} heads: {'; '.join(parts)}."


def describe_reliability(reliability: float | None, top: TopOverlap | None = None) -> str:
    """What a reliability (split-half Spearman, Spearman-Brown corrected) means for the ranking of the heads.

    `top` is what of its top a repeat would find again: it may be more than luck where the whole order is noise.
    """
    if reliability is None or not math.isfinite(reliability):
        return "The reliability of this ranking is unknown."
    if reliability >= 0.9:
        return "Reliable ranking: a repeat would order the heads nearly alike."
    if reliability >= 0.7:
        return "Fairly reliable ranking: a repeat would order the heads much alike, though single ones change places."
    if reliability >= 0.4:
        return "Moderately reliable ranking: trust tendencies, not single ranks."
    if top is not None and top.low > top.by_chance:
        return "Unreliable ranking as a whole, but its top is more than luck."
    return "Unreliable ranking: a repeat would likely give a different top 20."


def describe_remedy(reliability: float | None, *, can_sample: bool) -> str:
    """What makes a ranking more reliable, where it needs that; a study that `can_sample` has its model."""
    if reliability is None or not math.isfinite(reliability) or reliability >= 0.7:
        return ""
    if can_sample:
        return "A longer measurement makes it more reliable, as far as these prompts and words allow."
    return "A file cannot be sampled further: for a better ranking, score the model itself on the page *Studies*."


def describe_top(overlap: TopOverlap | None, score: str = "z_bias") -> str:
    """How many of the top heads would be on top again, in words; empty for None."""
    if overlap is None:
        return ""
    low, high = overlap.low, overlap.high
    span = f"{low}" if low == high else f"{low} to {high}"
    return (
        f"Of the {some_heads(overlap.k)} with the highest {score}, about {overlap.expected:.0f} would be among the top "
        f"{overlap.k} of a repeat ({span}; expected from noise: {overlap.by_chance:.1f})."
    )


def describe_ratio(log_ratio: float, *, exact: bool) -> str:
    """How much likelier a text is without a head: `1.8 times as likely without it`, or with it.

    A first-order value means nothing far from 1, and no value is believed to more than a factor of 1,000.
    """
    most = 1000 if exact else 10
    where = "without it" if log_ratio > 0 else "with it"
    size = abs(log_ratio)
    if size >= math.log(most):
        return f"more than {most:,} times as likely {where}{'' if exact else ' (first order, so no exact number)'}"
    factor = math.exp(size)
    return f"{format_number(factor, factor / 20)} times as likely {where}{'' if exact else ' (first order)'}"


def selection_summary(n_pruned: int, n_protected: int, n_heads: int) -> str:
    """Counts of a selection, for example `27 of 270 heads pruned, 81 protected, 162 kept`."""
    kept = n_heads - n_pruned - n_protected
    return f"{n_pruned:,} of {n_heads:,} heads pruned, {n_protected:,} protected, {kept:,} kept"


def measured_size(n_texts: int, n_readings: int, n_windows: int) -> str:
    """What an evaluation was measured on: `450 texts and 50 text windows`; what there is none of is left out."""
    parts = [_count(n_texts, "text", "texts")] if n_texts else []
    parts += [_count(n_readings, "reading of prompts", "readings of prompts")] if n_readings else []
    return " and ".join(filter(None, [", ".join(parts), _count(n_windows, "text window", "text windows")]))


def describe_intact(ppl: Estimate, bias: Estimate | None, split: str, metric: str = "toxicity") -> str:
    """The intact model's values, with what they were measured on and how much of it; the bias is by `metric`."""
    prompts = {"valid": "validation", "test": "test"}[split]
    parts = []
    if math.isfinite(ppl.value):
        parts.append(
            f"perplexity {format_estimate(ppl.value, ppl.se)} ({_count(ppl.n, 'text window', 'text windows')})"
        )
    if bias is not None and math.isfinite(bias.value):
        value = f"{format_estimate(bias.value, bias.se)}{UNITS[metric]}"
        parts.append(f"bias by {metric} {value} ({_count(bias.n, *COUNTED[metric])})")
    return f"**Intact model**, {prompts} prompts: {', '.join(parts)}." if parts else ""


def change_verdict(quantity: str, change: Estimate, unit: str = "") -> str:
    """One sentence on a measured change (after − before): its direction if its 95 % interval leaves out zero.

    `unit` follows the numbers, as in " nats".
    """
    if not math.isfinite(change.se):
        return f"{quantity}: too few samples yet to tell."
    size = (change.low, change.high) if change.value > 0 else (-change.high, -change.low)
    if change.low <= 0 <= change.high and change.se > 0:
        interval = format_interval(change.low, change.high, signed=True)
        return f"{quantity}: no clear change, the 95\u00a0% interval {interval}{unit} includes 0."
    if change.value == 0:
        return f"{quantity} did not change."
    return (
        f"{quantity} {'rose' if change.value > 0 else 'fell'} by {format_interval(*size)}{unit} (95\u00a0% interval)."
    )


def describe_noise(floor: float | None, corrected: Estimate | None) -> str:
    """What noise adds to a bias: its floor, the bias without it, and whether any is left; empty where unknown."""
    if floor is None or corrected is None or not math.isfinite(corrected.value):
        return ""
    words = (
        f"With this many texts noise alone would give {format_number(floor, corrected.se)}; without it the bias is "
        f"{format_estimate(corrected.value, corrected.se)}"
    )
    if math.isfinite(corrected.low) and corrected.low <= 0:
        return words + ", which may be none at all."
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
            "So the biases go together because of a few heads that the model cannot do without. Among the other heads "
            "little correlation is left, or noise hides it: see the values corrected for noise."
        )
    if abs(after) - abs(before) > 0.2:
        return "So the protected heads hide how much the others go together."
    if abs(after) < 0.2:
        return "So heads that drive one bias do not visibly drive the others; noise may hide it."
    return "So the protected heads are not what makes the biases go together."


def _ends(low: float, high: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "interval not known"
    return f"95\u00a0% interval {format_fixed(low, 2)} to {format_fixed(high, 2)}"


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def describe_agreement(agreement: Agreement) -> str:
    """How far two measures agree about the heads, in plain words."""
    first, second = agreement.metrics
    order = f"{first} and {second} order the {_count(agreement.n_heads, 'unprotected head', 'unprotected heads')} "
    if math.isnan(agreement.spearman):
        order += "in a way that cannot be compared: there are too few heads, or all have the same score."
    else:
        interval = f"{format_fixed(agreement.low, 2)} to {format_fixed(agreement.high, 2)}"
        order += f"{_alike(agreement.low, agreement.high)}: "
        order += f"Spearman {format_fixed(agreement.spearman, 2)} ({interval})."
    parts = [order[:1].upper() + order[1:]]
    if not math.isnan(agreement.ceiling):
        parts.append(f"Given the noise of both, at most about {format_fixed(agreement.ceiling, 2)} could be seen.")
    if agreement.n_pruned:
        expected = format_fixed(agreement.overlap_by_chance, 1)
        parts.append(
            f"Of the {some_heads(agreement.n_pruned)} each would prune, {agreement.overlap:,} "
            f"{_are(agreement.overlap)} the same; by chance it would be about {expected} "
            f"({_probability(agreement.p_value)}): {_agreement_verdict(agreement)}."
        )
    return " ".join(parts)


def _agreement_verdict(agreement: Agreement) -> str:
    if agreement.p_value >= 0.05:
        return "the choice depends on the measure"
    if agreement.overlap < agreement.n_pruned / 2:
        return "part of the choice survives the change of measure"
    return "most of the choice survives the change of measure"


def _alike(low: float, high: float) -> str:
    if math.isnan(low) or low <= 0 <= high:
        return "no more alike than chance"
    if high < 0:
        return "against each other"
    return "alike" if low >= 0.5 else "somewhat alike"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _probability(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def describe_compared_scores(scores_under: Mapping[str, str]) -> str:
    """Which heads of a comparison were chosen by scores under compensation; "" where none were.

    `scores_under` says, by what takes the heads' place, what the scores that chose them are compensated by.
    """
    if "least_squares" not in scores_under.values():
        return ""
    return "Where the remaining heads take over (least squares), heads were chosen by their scores under compensation."


def describe_choosing_scores(under: str | None) -> str:
    """Which scores choose heads whose place least squares takes; `under` is what the scores are compensated by."""
    if under is not None:
        return "Heads are chosen by their scores under compensation: by what the other heads cannot supply."
    return (
        "Heads are chosen by their scores without compensation; by likelihood there can be others: page Studies, "
        "“Also score under compensation”, or score --compensated."
    )
