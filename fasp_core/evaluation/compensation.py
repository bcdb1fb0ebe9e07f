"""The pruned model that is measured: heads gated off or, with compensation, layers refitted on the packaged text."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cached_property

from fasp_core.data.calibration import calibration_windows
from fasp_core.head import Head
from fasp_core.models.compensation import Compensation, compensated_heads, fit_compensation
from fasp_core.models.compensation_choice import RIDGE, Compensate
from fasp_core.models.heads import gate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.progress import Stop


class PrunedModel:
    """The model without `heads`: called, it gives a context inside which `lm` is that model.

    Layers are refitted once, by the first who needs that; it raises Cancelled once `stop()` is true.
    """

    def __init__(
        self, lm: LanguageModel, heads: Iterable[Head], compensate: Compensate = "none", *, stop: Stop | None = None
    ) -> None:
        self.lm, self.heads, self.compensate, self.stop = lm, tuple(heads), compensate, stop

    @cached_property
    def fitted(self) -> Compensation | None:
        """The refitted layers; None where nothing is refitted."""
        if self.compensate == "none" or not self.heads:
            return None
        return fit_on_calibration_text(self.lm, self.heads, self.compensate, stop=self.stop)

    def __call__(self) -> AbstractContextManager[None]:
        if self.fitted is None:
            return gate_heads(self.lm.model, off=self.heads)
        return compensated_heads(self.lm.model, self.fitted)


def fit_on_calibration_text(
    lm: LanguageModel, heads: Iterable[Head], compensate: Compensate, *, ridge: float = RIDGE, stop: Stop | None = None
) -> Compensation:
    """Refit the layers that lose `heads` by "mean" or "least_squares"; `lm` stays as it is.

    About two passes over 7,000 tokens. Raises as `fit_compensation` does.
    """
    windows = calibration_windows(lm.tokenizer, lm.max_length)
    return fit_compensation(lm, heads, windows, how=compensate, ridge=ridge, stop=stop)
