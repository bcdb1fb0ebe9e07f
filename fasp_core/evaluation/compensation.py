"""The pruned model that is measured: heads gated off or, with compensation, layers refitted on the packaged text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import cache

from fasp_core.data.calibration import calibration_windows
from fasp_core.head import Head
from fasp_core.models.compensation import Compensation, compensated_heads, fit_compensation
from fasp_core.models.compensation_choice import RIDGE, Compensate
from fasp_core.models.heads import gate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.progress import Stop


def pruned_model(
    lm: LanguageModel, heads: Iterable[Head], compensate: Compensate = "none", *, stop: Stop | None = None
) -> Callable[[], AbstractContextManager[None]]:
    """Gives contexts inside which `lm` is the model without `heads`; layers are refitted once, by the first of them.

    That raises Cancelled once `stop()` is true.
    """
    pruned = tuple(heads)

    @cache
    def fitted() -> Compensation:
        return fit_on_calibration_text(lm, pruned, compensate, stop=stop)

    def inside() -> AbstractContextManager[None]:
        if compensate == "none" or not pruned:
            return gate_heads(lm.model, off=pruned)
        return compensated_heads(lm.model, fitted())

    return inside


def fit_on_calibration_text(
    lm: LanguageModel, heads: Iterable[Head], compensate: Compensate, *, ridge: float = RIDGE, stop: Stop | None = None
) -> Compensation:
    """Refit the layers that lose `heads` by "mean" or "least_squares"; `lm` stays as it is.

    About two passes over 7,000 tokens. Raises as `fit_compensation` does.
    """
    windows = calibration_windows(lm.tokenizer, lm.max_length)
    return fit_compensation(lm, heads, windows, how=compensate, ridge=ridge, stop=stop)
