"""Numbers as people read them: as many digits as their error supports.

The rule is that of the Particle Data Group (Review of Particle Physics, section 5.3): the error keeps two digits when
its three leading digits are below 355 and one digit otherwise, and the value ends at the same place.
A `±` is always one standard error; an interval is always 95 %.
"""

from __future__ import annotations

import math
from typing import TypeGuard

import numpy as np

from fasp_core.stats.normal import Z95
from fasp_core.stats.target import MEAN_TOXICITY

MINUS = "\u2212"


def error_decimals(se: float) -> int:
    """Decimal places that an error supports: 0.0042 -> 4, 0.12 -> 2, 0.5 -> 1, 42 -> 0, 1234 -> -2."""
    exponent = math.floor(math.log10(se))
    leading = round(se / 10.0 ** (exponent - 2))
    if leading >= 1000:
        exponent, leading = exponent + 1, 100
    digits = 2 if leading < 355 else 1
    return digits - 1 - exponent


def _usable(se: float | None) -> TypeGuard[float]:
    return se is not None and math.isfinite(se) and se > 0


def format_fixed(value: float, decimals: int, *, signed: bool = False) -> str:
    """`value` rounded at `decimals` (negative: before the point), thousands grouped, with a true minus sign."""
    rounded = round(value, decimals) + 0.0
    text = f"{abs(rounded):,.{max(decimals, 0)}f}"
    sign = MINUS if rounded < 0 else "+" if signed and rounded > 0 else ""
    return sign + text


def format_number(value: float, se: float | None = None, *, signed: bool = False) -> str:
    """`value` alone with the digits its error supports; without an error, three significant digits. NaN is `–`.

    >>> format_number(31.4159, 0.12)
    '31.42'
    """
    if not math.isfinite(value):
        return "–"
    decimals = error_decimals(se) if _usable(se) else _three_digits(value)
    return _scientific(value, signed=signed) if decimals > 6 else format_fixed(value, decimals, signed=signed)


def format_estimate(value: float, se: float | None = None, *, signed: bool = False) -> str:
    """`value ± standard error`, both ending at the place the error supports; without an error, the value alone.

    >>> format_estimate(0.01234, 0.0042, signed=True)
    '+0.012 ± 0.004'
    """
    if not math.isfinite(value):
        return "–"
    if not _usable(se):
        return format_number(value, signed=signed)
    decimals = error_decimals(se)
    if decimals > 6:
        return f"{_scientific(value, signed=signed)} ± {_scientific(se)}"
    return f"{format_fixed(value, decimals, signed=signed)} ± {format_fixed(se, decimals)}"


def format_interval(low: float, high: float, *, signed: bool = False) -> str:
    """A 95 % interval `low to high`, with the digits that its own width supports.

    >>> format_interval(-0.0201, -0.0042)
    '−0.020 to −0.004'
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "–"
    se = (high - low) / (2 * Z95)
    if not _usable(se):
        return format_number(low, signed=signed)
    decimals = error_decimals(se)
    if decimals > 6:
        return f"{_scientific(low, signed=signed)} to {_scientific(high, signed=signed)}"
    return f"{format_fixed(low, decimals, signed=signed)} to {format_fixed(high, decimals, signed=signed)}"


def _three_digits(value: float) -> int:
    """Decimal places that show three significant digits, and whole numbers in full."""
    return max(2 - math.floor(math.log10(abs(value))), 0) if value else 0


def _scientific(value: float, *, signed: bool = False) -> str:
    text = f"{abs(value):.1e}".replace("-", MINUS)
    return (MINUS if value < 0 else "+" if signed and value > 0 else "") + text


def column_decimals(errors: np.ndarray) -> int:
    """Decimals for a whole column of numbers: the place that its median error supports, between 0 and 6."""
    usable = np.asarray(errors, dtype=float)
    usable = usable[np.isfinite(usable) & (usable > 0)]
    if usable.size == 0:
        return 4
    return min(max(error_decimals(float(np.median(usable))), 0), 6)


def sentence_start(text: str) -> str:
    """The text with a capital letter first; the others stay."""
    return text[:1].upper() + text[1:]


UNITS = {"toxicity": "", "likelihood": " nats"}  # of a bias by each measure, after a number
BY = {"toxicity": "by toxicity", "likelihood": "by likelihood (nats)"}  # beside numbers without a unit
GROUP_MEANS = {"toxicity": "Mean toxicity", "likelihood": "Mean log-odds of toxic words (nats)"}
COUNTED = {"toxicity": ("text", "texts"), "likelihood": ("reading", "readings")}  # what a bias is measured on


def bias_word(axis: str) -> str:
    """What is measured of an axis, in a word: its bias, or the mean toxicity."""
    return "mean toxicity" if axis == MEAN_TOXICITY else "bias"


def bias_text(axis: str, metric: str) -> str:
    """The bias of an axis by a measure, within a sentence: `bias of religion by likelihood`, or `mean toxicity`."""
    return "mean toxicity" if axis == MEAN_TOXICITY else f"bias of {axis_label(axis).lower()} by {metric}"


def bias_label(axis: str, metric: str) -> str:
    """The same above a number: `bias · Religion, by likelihood (nats)`, or `mean toxicity`."""
    return "mean toxicity" if axis == MEAN_TOXICITY else f"bias · {axis_label(axis)}, {BY[metric]}"


def bias_by(axis: str, metric: str) -> str:
    """The same where the axis is known: `bias by likelihood (nats)`, or `mean toxicity`."""
    return "mean toxicity" if axis == MEAN_TOXICITY else f"bias {BY[metric]}"


def z_label(axis: str) -> str:
    """What a head's effect on the bias of an axis is called, or that on the mean toxicity."""
    return "z_toxicity" if axis == MEAN_TOXICITY else "z_bias"


def axis_label(axis: str) -> str:
    """The name of an axis for people: `gender_and_sex` -> `Gender and sex`; `Mean toxicity` of the target beside."""
    if axis == MEAN_TOXICITY:
        return "Mean toxicity"
    label = axis.replace("race_ethnicity", "race and ethnicity").replace("_", " ").strip()
    return label[:1].upper() + label[1:]


def colour_limit(values: np.ndarray, share: float = 0.98) -> float:
    """The largest value of a map's colour scale, chosen so that one extreme head does not flatten the others.

    The `share` quantile of |values|, rounded up to two digits; NaNs are ignored. Never 0, so that a map without any
    effect has a scale too.
    """
    sizes = np.abs(np.asarray(values, dtype=float))
    sizes = sizes[np.isfinite(sizes)]
    limit = float(np.quantile(sizes, share)) if sizes.size else 0.0
    limit = limit or float(sizes.max(initial=0.0))
    limit = limit if limit > 1e-300 else 1.0
    unit = 10.0 ** (math.floor(math.log10(limit)) - 1)
    return float(f"{math.ceil(limit / unit - 1e-9) * unit:.1e}")
