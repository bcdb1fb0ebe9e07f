"""How the heads that stay can take over, by name; `compensation` does it. No torch here."""

from __future__ import annotations

from typing import Literal, get_args

Compensate = Literal["none", "mean", "least_squares"]
COMPENSATIONS: tuple[Compensate, ...] = get_args(Compensate)
SPOKEN = {"none": "nothing", "mean": "mean output", "least_squares": "least squares"}
RIDGE = 0.01  # of the mean square of a layer's head outputs
