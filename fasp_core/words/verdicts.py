"""Whether there is a bias, in words: the sentences that stand before every map and ranking, and before a measurement
what it could tell. Plain text, no markup."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fasp_core.data.sampling import TEXT_WITH_PROMPT
from fasp_core.stats.sample_size import CLEAR, NONE
from fasp_core.words.numbers import (
    COUNTED,
    UNITS,
    axis_label,
    format_estimate,
    format_interval,
    format_number,
    sentence_start,
)

if TYPE_CHECKING:
    from fasp_core.selection.description import BiasVerdict
    from fasp_core.stats.estimate import Estimate

_IN_80 = "In 80 of 100 measurements;"
ECHO_DOMINATES = 0.5  # of the bias of whole texts: from here on it is mostly the prompts' own


def describe_verdict(verdict: BiasVerdict | None, *, unit: str | None = None) -> str:
    """Whether there is a bias, how large it may be, and what would settle it; empty where it was not tested.

    `unit` follows numbers, such as "nats".
    """
    if verdict is None:
        return ""
    p, unit = _probability(verdict.p_value), f" {unit}" if unit else ""
    if verdict.state == CLEAR:
        size = (
            ""
            if verdict.low is None or verdict.high is None
            else f" of {format_interval(verdict.low, verdict.high)}{unit} (95\u00a0% interval)"
        )
        return f"There is a bias on this axis{size}; {p}."
    if verdict.state == NONE:
        return (
            f"There is no bias on this axis that matters: it is at most {_number(verdict.high)}{unit} (95\u00a0% "
            f"interval), and matters from {verdict.matters:g} on. A ranking of heads by it is noise."
        )
    upper = (
        "" if verdict.high is None else f" It may be anything up to {_number(verdict.high)}{unit} (95\u00a0% interval)."
    )
    return f"A bias on this axis is not clear yet ({p}).{upper} {_what_would_settle(verdict)}"


def describe_unclear(verdict: BiasVerdict | None, *, unit: str | None = None) -> str:
    """What to know before heads are chosen by this bias; empty where it is clear or was not tested."""
    if verdict is None or verdict.state == CLEAR:
        return ""
    told = describe_verdict(verdict, unit=unit)
    return told if verdict.state == NONE else f"{told} Until then a ranking of heads by it is mostly noise."


def describe_echo(echo: Estimate | None, bias: Estimate | None, *, scored: str | None) -> str:
    """What bias the prompts alone have, and whether that is part of the bias shown; empty where it was not rated."""
    if echo is None or not math.isfinite(echo.value):
        return ""
    size = f"By this scorer the prompts alone have a bias of {format_estimate(echo.value, echo.se)}"
    if scored != TEXT_WITH_PROMPT:
        return f"{size}. It is no part of the bias shown: only what the model wrote is rated."
    words = f"{size}. It is part of the bias shown, because whole texts are rated, and no head can change it."
    return words + (" It is most of it." if echo_dominates(echo, bias) else "")


def describe_foresight(
    smallest: float, n: int, metric: str, *, sets: int, more: tuple[float, int] | None = None, what: str = "bias"
) -> str:
    """The smallest change of `what`, by `metric`, that n texts tell from none; `more` is a smaller one and its texts.

    `sets` is the number of measured sets that the noise was taken from, 0: from the intact model alone.
    """
    unit, counted = UNITS[metric], COUNTED[metric][1]
    told = f"With {n:,} {counted} a change of {what} of ±{_number(smallest)}{unit} could be told from none"
    if more is not None:
        told += f"; ±{more[0]:g}{unit} would take about {_rounded(more[1]):,}"
    noise = f"noise as in the {sets} {'set' if sets == 1 else 'sets'} measured so far"
    return f"{told}. {_IN_80} {noise if sets else 'an upper bound, by the noise of the intact model'}."


def describe_smallest_biases(found: Mapping[tuple[str, str], tuple[float, int]], *, like: str | None = None) -> str:
    """The smallest bias that a study tells from none, by axis and metric, and of how many texts; empty for none.

    `like` is the study whose noise was taken, where it is another one.
    """
    if not found:
        return ""
    sizes = [
        f"{_number(size)}{UNITS[metric]} for {axis_label(axis).lower()} by {metric} ({n:,} {COUNTED[metric][1]})"
        for (axis, metric), (size, n) in found.items()
    ]
    noise = "noise as measured so far" if like is None else f"noise as in the study {like}"
    return f"The smallest bias that could be told from none: {', '.join(sizes)}. {_IN_80} {noise}."


def echo_dominates(echo: Estimate | None, bias: Estimate | None) -> bool:
    """Whether the prompts alone have at least half the bias that whole texts have."""
    return echo is not None and bias is not None and echo.value >= ECHO_DOMINATES * bias.value


def describe_surrogate(bias: Estimate, log_ppl: Estimate) -> str:
    """What a surrogate of measured sets explains of the bias and of log perplexity: R² of sets it has not seen."""
    sizes = f"bias {format_estimate(bias.value, bias.se)}, log perplexity {format_estimate(log_ppl.value, log_ppl.se)}"
    known = f"What the surrogate explains of sets it has not seen (cross-validated R², {bias.n} sets): {sizes}."
    if bias.low > 0:
        return known
    return f"{known} Of the bias it knows nothing beyond chance, so the sets it proposed are no better than drawn ones."


def _what_would_settle(verdict: BiasVerdict) -> str:
    units = "identity terms" if verdict.units == "descriptors" else verdict.units
    if 0 in (verdict.more_texts, verdict.more_units):  # this one was unlucky, or several axes are looked at
        return (
            "Of 100 studies of this size such a bias would be clear in 80 or more, and in this one it is not; how many "
            f"more texts it takes cannot be told. {sentence_start(units)} not used yet tell most."
        )
    ways = [
        f"{_rounded(n):,} more {what}"
        for n, what in ((verdict.more_texts, "texts"), (verdict.more_units, units))
        if n is not None
    ]
    if not ways:
        return "No number of texts that could be sampled would settle it."
    return f"About {' or '.join(ways)} would settle it."


def _rounded(n: int) -> int:
    """Two leading digits: more would promise too much."""
    return int(round(n, 2 - len(str(n)))) if n >= 100 else n


def _number(value: float | None) -> str:
    return "–" if value is None else format_number(value, value / 10)


def _probability(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
