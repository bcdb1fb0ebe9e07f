"""Shares of heads as they are typed: a range or a list."""

from __future__ import annotations

from decimal import Decimal, DecimalException

from fasp_core.errors import InputError

MOST_POINTS = 1000  # of a range; more is likely a typing error


def parse_shares(text: str, option: str) -> tuple[float, ...]:
    """`0:0.2:0.02` (the last included) or `0.02,0.1` as numbers; raises InputError for anything else."""
    try:
        if ":" not in text:
            return tuple(float(Decimal(part)) for part in text.split(",") if part.strip())
        first, last, step = (Decimal(part) for part in text.split(":"))
        if step <= 0 or last < first or (last - first) / step > MOST_POINTS:
            raise ValueError
        return tuple(float(first + i * step) for i in range(int((last - first) / step) + 1))
    except (ValueError, DecimalException, OverflowError) as error:
        raise InputError(
            f"{option} is '{text[:40]}'; give first:last:step with a step above 0, as 0:0.2:0.02, or a list as 0.02,0.1"
        ) from error
