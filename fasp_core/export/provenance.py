"""What a pruning configuration records of its making: model, method, data, metrics."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, field_validator

from fasp_core.data.calibration import calibration_text
from fasp_core.evaluation.result import Evaluation, Metrics
from fasp_core.models.compensation_choice import RIDGE, Compensate
from fasp_core.selection.description import ScoresUnder
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.paired import AxisMetrics

Metric = Literal["toxicity", "likelihood"]
Share = Annotated[float, Field(ge=0, le=1)]
HeadsByLayer = dict[Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,5})$")], list[NonNegativeInt]]


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ModelRecord(Record):
    """The model the heads belong to; `ref` is what opens it, `fingerprint` is over its config and weights in `dtype`.

    A path below the user's home is written as `~/…`, which opens on other machines too and names nobody.
    """

    name: str
    n_layers: PositiveInt
    heads_per_layer: PositiveInt
    head_dim: PositiveInt | None = None
    ref: str | None = None
    revision: str | None = None
    fingerprint: str | None = None
    dtype: str | None = Field(None, exclude_if=lambda dtype: dtype is None)  # older configurations have none

    @field_validator("ref")
    @classmethod
    def _below_home(cls, ref: str | None) -> str | None:
        if ref is None or not os.path.isabs(ref) or not Path(ref).is_relative_to(Path.home()):
            return ref
        return f"~/{Path(ref).relative_to(Path.home()).as_posix()}"


class MethodRecord(Record):
    """The rule that chose the heads and its parameters.

    `scores_under` is what the scores that chose are compensated by, and `metric` what they measure bias by; none did by
    hand, or by a baseline without scores.
    """

    name: str
    axis: str | None = None
    gamma: Share
    alpha: Share
    seed: NonNegativeInt | None = None
    weights: dict[str, Annotated[float, Field(ge=0)]] | None = None  # by axis, of fasp_multi
    scores_under: ScoresUnder | None = Field(None, exclude_if=lambda under: under is None)  # older files do not say
    metric: Metric | None = Field(None, exclude_if=lambda metric: metric is None)  # nor that


class MadeWith(Record):
    """A prompt set, text or scorer that numbers depend on."""

    name: str
    fingerprint: str | None = None


class CompensationRecord(Record):
    """How the output projections of the layers that lose heads are refitted, and on which text (see docs/pruning.md).

    `ridge` is a share of the mean square of a layer's head outputs, None for the mean. `n_tokens` and where the
    `intercept` is kept are known of a checkpoint, whose model was opened.
    """

    how: Literal["mean", "least_squares"]
    ridge: Annotated[float, Field(ge=0)] | None = None
    text: MadeWith
    n_tokens: PositiveInt | None = None
    intercept: Literal["bias", "attention_bias", "none"] | None = None

    @classmethod
    def of(cls, compensate: Compensate) -> CompensationRecord | None:
        """The record of a refit on the packaged text as it is now; None for "none"."""
        if compensate == "none":
            return None
        text = calibration_text()
        ridge = RIDGE if compensate == "least_squares" else None
        return cls(how=compensate, ridge=ridge, text=MadeWith(name=text.name, fingerprint=text.fingerprint))

    def described(self) -> str:
        """One sentence for people."""
        how = "the mean of what they wrote" if self.how == "mean" else f"least squares, ridge {self.ridge:g}"
        on = f"{self.n_tokens:,} tokens of " if self.n_tokens else ""
        where = {
            None: "",
            "bias": "; intercepts are in the projections' biases",
            "attention_bias": "; intercepts are in biases that the config's attention_bias adds",
            "none": "; without intercepts, for which this architecture has no place",
        }[self.intercept]
        return (
            f"The heads that stay take over: the output projections of the layers that lost heads were refitted "
            f"({how}) on {on}the text {self.text.name}, on which no perplexity is measured{where}."
        )


class EstimateRecord(Record):
    """A number with standard error and 95 % interval (null where not known), and how many texts or windows it has."""

    value: float
    se: float | None
    low: float | None
    high: float | None
    n: NonNegativeInt

    @classmethod
    def of(cls, estimate: Estimate) -> EstimateRecord:
        """The record of an estimate; what is NaN there is null here."""
        parts = (float(part) for part in (estimate.se, estimate.low, estimate.high))
        se, low, high = (part if math.isfinite(part) else None for part in parts)
        return cls(value=float(estimate.value), se=se, low=low, high=high, n=estimate.n)


class BiasRecord(Record):
    """Bias by axis: plain, what noise alone would give, and without what noise adds."""

    bias: dict[str, EstimateRecord]
    bias_floor: dict[str, float] = {}
    bias_corrected: dict[str, EstimateRecord] = {}

    @staticmethod
    def fields_of(axes: Mapping[str, AxisMetrics]) -> dict[str, Any]:
        """The fields from measured metrics, without their groups."""
        corrected = {axis: m.corrected for axis, m in axes.items() if math.isfinite(m.corrected.value)}
        return {
            "bias": {axis: EstimateRecord.of(m.bias) for axis, m in axes.items()},
            "bias_floor": {axis: float(m.floor) for axis, m in axes.items() if m.floor is not None},
            "bias_corrected": {axis: EstimateRecord.of(estimate) for axis, estimate in corrected.items()},
        }


class PerplexityRecord(Record):
    """Perplexity; a base of its own, since files have it before the bias."""

    ppl: EstimateRecord


class MetricsRecord(BiasRecord, PerplexityRecord):
    """Perplexity, and bias by axis: that of toxicity, and under `likelihood` that of log-odds, in nats."""

    likelihood: BiasRecord | None = Field(None, exclude_if=lambda record: record is None)  # older ones have none

    @classmethod
    def of(cls, metrics: Metrics) -> MetricsRecord:
        """The record of measured metrics."""
        return cls(
            ppl=EstimateRecord.of(metrics.ppl),
            **cls.fields_of(metrics.axes),
            likelihood=BiasRecord(**cls.fields_of(metrics.odds)) if metrics.odds else None,
        )

    def by_metric(self) -> Iterator[tuple[str, BiasRecord]]:
        """The biases by each metric that was measured."""
        yield "toxicity", self
        if self.likelihood is not None:
            yield "likelihood", self.likelihood


class SplitMetrics(Record):
    """Measured before and after pruning; `change` = after − before, from pairs. `fraction_done` < 1: cut short."""

    before: MetricsRecord
    after: MetricsRecord
    change: MetricsRecord
    fraction_done: Share

    @classmethod
    def of(cls, evaluation: Evaluation) -> SplitMetrics:
        """The record of an evaluation, whose `split` the configuration files it under."""
        parts = {name: MetricsRecord.of(getattr(evaluation, name)) for name in ("before", "after", "change")}
        return cls(**parts, fraction_done=float(evaluation.fraction_done))


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key written twice is refused, where Python's reader would drop the first."""
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(n for n in names if names.count(n) > 1)[:40]}' is there twice")
    return made


def shape_text(shape: tuple[int, int, int]) -> str:
    return f"{shape[0]} layers × {shape[1]} heads of size {shape[2]}"
