"""What further measuring is expected to bring, in a sentence: reliability by time, or time by reliability."""

from __future__ import annotations

import math

from fasp_core.words.numbers import COUNTED, axis_label, format_fixed
from fasp_core.words.spoken import spoken_range


def expected_after(axis: str, metric: str, reliability: float, n: int, *, seconds: float, expected: float) -> str:
    """The reliability that is expected after so many seconds more, beside that of the n texts there are."""
    return f"{_now(axis, metric, reliability, n)}; expected after {_about(seconds)} more: {format_fixed(expected, 2)}."


def expected_time(
    axis: str, metric: str, reliability: float, n: int, *, aim: float, seconds: float, highest: float
) -> str:
    """How long it is expected to take to reach `aim`: in seconds, infinite where only `highest` is to be expected."""
    now = _now(axis, metric, reliability, n)
    if reliability >= aim:
        return f"{now}, which is enough."
    if math.isfinite(seconds):
        return f"{now}; {aim:g} would take {_about(seconds)} more."
    if reliability <= 0:
        return f"{now}: so far there is nothing to rank, so how long {aim:g} takes cannot be told."
    return f"{now}; {aim:g} is not to be expected: once every prompt is read, about {format_fixed(highest, 2)}."


def _now(axis: str, metric: str, reliability: float, n: int) -> str:
    of = f"{n:,} {COUNTED[metric][n != 1]}"
    return f"{axis_label(axis)} by {metric}: reliability {format_fixed(reliability, 2)} by {of}"


def _about(seconds: float) -> str:
    return spoken_range(seconds, seconds, seconds)
