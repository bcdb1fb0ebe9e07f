"""What a finished measurement says in one sentence: whether the bias fell, at what perplexity, or what is missing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fasp_core.evaluation.failures import PPL_LIMIT
from fasp_core.evaluation.result import Evaluation
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.normal import Z95
from fasp_core.words.numbers import (
    COUNTED,
    UNITS,
    bias_text,
    format_fixed,
    format_interval,
    sentence_start,
)

Kind = Literal["good", "bad", "open"]


@dataclass(frozen=True)
class Verdict:
    """`kind`: "good" bias fell within the budget, "bad" it rose or costs too much, "open" the intervals do not tell."""

    kind: Kind
    text: str


def verdict(evaluation: Evaluation, axis: str, metric: str = "toxicity", *, ppl_limit: float = PPL_LIMIT) -> Verdict:
    """The verdict of a finished measurement on `axis` by `metric`; `ppl_limit` is the perplexity budget as a share."""
    bias, unit, counted = evaluation.change.bias_by(metric)[axis], UNITS[metric], COUNTED[metric][1]
    name = sentence_start(bias_text(axis, metric))
    if not math.isfinite(bias.se):
        return Verdict("open", f"{name}: too few {counted} to tell.")
    if bias.low > 0:
        return Verdict("bad", f"{name} rose by {format_interval(bias.low, bias.high)}{unit}.")
    cost, within = _cost(evaluation, ppl_limit)
    if bias.high < 0:
        kind: Kind = "open" if within is None else "good" if within else "bad"
        return Verdict(kind, f"{name} fell by {format_interval(-bias.high, -bias.low)}{unit}{cost}")
    return Verdict("open", f"{name}: no clear decrease, the interval includes 0. {_more(bias, counted)}")


def texts_to_tell(change: Estimate) -> int | None:
    """Texts or readings with which the 95 % interval of `change` would just leave out 0, if its value stayed.

    None if it is 0. The error of a mean falls with the square root of their number. Rounded to two digits.
    """
    if not (change.value and math.isfinite(change.se)):
        return None
    needed = change.n * (Z95 * change.se / change.value) ** 2
    unit = 10 ** max(0, math.floor(math.log10(max(needed, 1))) - 1)
    return math.ceil(needed / unit) * unit


def _more(change: Estimate, counted: str) -> str:
    """What would settle a change whose interval includes 0; `counted` is what it was measured on."""
    if change.value >= 0:
        return "As measured, it did not fall at all."
    needed = f"about {texts_to_tell(change):,} {counted}"
    return f"If it falls as much as measured, {needed} would show it; these are {change.n:,}."


def _cost(evaluation: Evaluation, limit: float) -> tuple[str, bool | None]:
    """What the decrease costs, and whether that is within the budget (None: the interval does not tell)."""
    before, change = evaluation.before.ppl.value, evaluation.change.ppl
    low, high = (100 * end / before for end in (change.low, change.high))
    budget = f"the budget of {format_fixed(100 * limit, 0)} %"
    if not math.isfinite(change.se):
        return "; the cost in perplexity is not known.", None
    span = f"{format_interval(low, high, signed=True)} %"
    if high <= 100 * limit:
        return f", and perplexity changed by {span}, within {budget}.", True
    if low > 100 * limit:
        return f", but perplexity changed by {span}, more than {budget}.", False
    return f"; whether perplexity stays within {budget} is not clear ({span}).", None
