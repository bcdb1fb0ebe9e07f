"""What an evaluation found: perplexity, bias and degeneration before and after pruning, and their changes."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import ConfigDict, TypeAdapter

from fasp_core.head import Head
from fasp_core.models.compensation_choice import Compensate
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.paired import AxisMetrics


@dataclass(frozen=True)
class Metrics:
    """One model, or the change between two: perplexity, each axis's metrics, and how degenerate the texts are.

    `axes` has the axes of which every group has a text, `odds` those of which every group has log-odds, in nats.
    `degeneration` has `repetition`, `distinct_bigrams` and `length` in words (see `stats.degeneration`), over the texts
    of all axes; it is empty before the first text, and what earlier versions measured has no length.
    """

    ppl: Estimate
    axes: dict[str, AxisMetrics] = field(default_factory=dict)
    degeneration: dict[str, Estimate] = field(default_factory=dict)
    odds: dict[str, AxisMetrics] = field(default_factory=dict)

    @property
    def bias(self) -> dict[str, Estimate]:
        """Bias by axis, of toxicity."""
        return self.bias_by("toxicity")

    def axes_by(self, metric: str) -> dict[str, AxisMetrics]:
        """Each axis's metrics by "toxicity" or "likelihood"."""
        return self.odds if metric == "likelihood" else self.axes

    def bias_by(self, metric: str) -> dict[str, Estimate]:
        """Bias by axis, of toxicity or, by "likelihood", of log-odds in nats."""
        return {axis: metrics.bias for axis, metrics in self.axes_by(metric).items()}


@dataclass(frozen=True)
class Evaluation:
    """The measured effect of pruning a set of heads; `change` = after − before, from pairs.

    `compensate` says how the layers that lost heads were refitted: `after` is the model with the refitted weights.
    It names no study: studies of the same model, prompts, text and scorer share what was measured.
    """

    pruned: tuple[Head, ...]
    split: str
    before: Metrics
    after: Metrics
    change: Metrics
    n_texts: int
    n_windows: int
    fraction_done: float
    n_readings: int = 0  # of prompts with their stems, for log-odds
    compensate: Compensate = "none"  # earlier results have none

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="strings")  # JSON has no NaN; "NaN" is read back as one

    def __repr__(self) -> str:
        done = "" if self.done else f", {100 * self.fraction_done:.0f} % measured"
        return f"<Evaluation of {len(self.pruned):,} pruned heads on {self.split} prompts{done}>"

    @property
    def done(self) -> bool:
        """Whether the whole plan has been measured."""
        return self.fraction_done >= 1

    @property
    def ppl(self) -> float:
        """Perplexity of the pruned model."""
        return self.after.ppl.value

    @property
    def ppl_se(self) -> float:
        """Standard error of `ppl`."""
        return self.after.ppl.se

    @property
    def bias(self) -> dict[str, float]:
        """Bias of the pruned model by axis, of toxicity."""
        return {axis: estimate.value for axis, estimate in self.after.bias.items()}

    @property
    def bias_se(self) -> dict[str, float]:
        """Standard errors of `bias`."""
        return {axis: estimate.se for axis, estimate in self.after.bias.items()}

    def to_json(self) -> str:
        """One JSON object, the numbers exactly as they are; NaN is written as the string "NaN"."""
        return _JSON.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        """The inverse of `to_json`; raises ValueError for anything else."""
        return _JSON.validate_json(text)


_JSON = TypeAdapter(Evaluation)
