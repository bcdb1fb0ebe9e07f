"""One head, or a set of heads, in numbers: what the panels beside the maps show. Pure functions of `HeadScores`.

The prediction for a set is the sum of its heads' scores. That ignores how heads work together, and because heads are
chosen for a high z_bias, their noise makes the predicted drop in bias too large: it is a guess to be measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fasp_core.head import Head, flat_id
from fasp_core.selection.head_scores import HeadScores
from fasp_core.stats.estimate import Estimate


@dataclass(frozen=True)
class Predicted:
    """One metric of the intact model (None where not known), and its change by pruning as the scores add up."""

    before: Estimate | None
    change: float

    @property
    def after(self) -> float | None:
        """The metric after pruning, None where the intact model's is not known."""
        return None if self.before is None else self.before.value + self.change

    @property
    def impossible(self) -> bool:
        """Whether noise makes the scores add up to a value below 0, which neither perplexity nor bias can have."""
        return self.after is not None and self.after < 0


@dataclass(frozen=True)
class Prediction:
    """What single-head scores add up to for a set of heads."""

    ppl: Predicted
    bias: Predicted


def predict_effect(scores: HeadScores, pruned: Iterable[Head], axis: str) -> Prediction | None:
    """Sum of single-head effects: perplexity rises by Σ z_ppl, bias of `axis` falls by Σ z_bias.

    None for scores relative to the median head: their sum depends on that head, not on the intact model.
    """
    if scores.relative:
        return None
    flat = [flat_id(head, scores.heads_per_layer) for head in pruned]
    return Prediction(
        ppl=Predicted(scores.base_ppl, float(scores.z_ppl[flat].sum())),
        bias=Predicted(scores.base_bias(axis), -float(scores.z_bias(axis)[flat].sum())),
    )
