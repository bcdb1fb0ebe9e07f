"""What goes with a score table: where it comes from, the intact model's numbers, and stored orders of the heads.

In memory these are typed values, fields of `HeadScores`. On disk (in the metadata of a Parquet file, so in
`scores.parquet` of an imported study) and in `--json` output they are one flat JSON object, with values by axis under
`base_bias`, `reliability` and so on. `to_record` and `from_record` turn one into the other. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveInt

from fasp_core.stats.estimate import Estimate
from fasp_core.stats.sample_size import CLEAR, NONE, NOT_YET

Orders = Mapping[str, Mapping[str, tuple[int, ...]]]  # {axis: {γ: flat ids, the first to be pruned first}}


@dataclass(frozen=True)
class IntactPerplexity:
    """Perplexity of the intact model, and the reliability of the heads' order by z_ppl; None where not known."""

    ppl: Estimate | None = None
    reliability: float | None = None


@dataclass(frozen=True)
class BiasVerdict:
    """Whether an axis has a bias at all, by the omnibus test; it stands before every ranking of heads.

    `state` is "clear", "not clear yet" or "none that matters" (see `stats.sample_size`); a bias matters from the size
    `matters` on. `p_value` is adjusted for the number of axes looked at (Holm); `low` and `high` are the 95 % interval
    of the true bias. Not clear yet: `more_texts` of the same prompts, or `more_units`, would settle it; None where no
    number would. `units` says what the test took to be independent, "descriptors" or "prompts".
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    state: str
    p_value: float
    low: float | None
    high: float | None
    matters: float
    more_texts: int | None = None
    more_units: int | None = None
    units: str = "descriptors"

    def __post_init__(self) -> None:
        if self.state not in (CLEAR, NOT_YET, NONE) or not 0 <= self.p_value <= 1 or not math.isfinite(self.matters):
            raise ValueError(f"'{self.state}' with p = {self.p_value} and {self.matters} to matter is no verdict")


@dataclass(frozen=True)
class IntactBias:
    """Bias of the intact model on one axis, and how well the effects of the heads on it are known.

    `floor` is the bias that noise alone would give, `corrected` the bias without what noise adds. `reliability` is that
    of the heads' order by z_bias (split-half Spearman, Spearman–Brown corrected), of `n_samples` texts or prompts.
    `effective_share` (N) is each head's effective sample size as a share of `n_samples`, in the group where it is
    smallest; `corrected_heads` are the flat ids whose first-order score was corrected by exact knock-outs.
    `verdict` says whether there is a bias at all, `prompt_echo` what bias the prompts alone have by the same scorer.
    Scores by advantages with λ < 1 have that `discount`, and `discount_bias` is the root mean square of their own bias
    over unprotected heads, in units of z_bias, by comparison with λ = 1; their errors hold it.
    None where not known.
    """

    bias: Estimate | None = None
    verdict: BiasVerdict | None = None
    prompt_echo: Estimate | None = None
    floor: float | None = None
    corrected: Estimate | None = None
    reliability: float | None = None
    n_samples: int | None = None
    effective_share: tuple[float, ...] | None = None
    corrected_heads: tuple[int, ...] | None = None
    discount: float | None = None
    discount_bias: float | None = None


class _Part(BaseModel):
    """JSON values with the keys that this program reads, checked; there may be more, and they are kept."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    def to_json(self) -> dict[str, Any]:
        """What was given, as plain JSON values."""
        return self.model_dump(exclude_unset=True)


class Named(_Part):
    """A model, prompt set or text: its name, and what recognises it."""

    name: str | None = None
    ref: str | None = None
    revision: str | None = None
    fingerprint: str | None = None
    head_dim: PositiveInt | None = None


class Calibration(_Part):
    """What scores under compensation were fitted on: the text, and the ridge."""

    fingerprint: str | None = None
    ridge: str | None = None


class MadeBy(_Part):
    """The settings of the study the scores are of or, where they were imported, the SHA-256 of the file."""

    seed: NonNegativeInt | None = None
    scored: str | None = None
    sha256: str | None = None


ScoresUnder = Literal["none", "least_squares"]  # what takes a head's place in its scores, nothing included


def _named(value: Any) -> Any:
    """Some files give a bare name instead of {"name": …}."""
    return {"name": value} if isinstance(value, str) else value


class Provenance(_Part):
    """Where scores come from: `source` is "study", or the name of the file they were read from.

    `compensate` says what takes a head's place in its scores, None where nothing does.
    """

    source: str | None = None
    study: str | None = None
    model: Annotated[Named | None, BeforeValidator(_named)] = None
    metric: str | None = None
    unit: str | None = None
    scorer: str | None = None
    scorer_fingerprint: str | None = None
    pairs_fingerprint: str | None = None
    compensate: Literal["least_squares"] | None = None
    calibration: Calibration | None = None
    prompts: Named | None = None
    text: Named | None = None
    settings: MadeBy = MadeBy()
    versions: dict[str, str] = {}
    precision: dict[str, Any] | None = None
    n_seeds: PositiveInt | None = None
    notes: list[str] = []


class Described(NamedTuple):
    """The typed parts of a record, in the order of the fields of `HeadScores`."""

    meta: Provenance
    intact_ppl: IntactPerplexity
    intact: dict[str, IntactBias]
    orders: dict[str, dict[str, tuple[int, ...]]]


class _Record(BaseModel):
    """The numbers in a record, by axis; `reliability` also has "ppl"."""

    model_config = ConfigDict(strict=True)
    base_ppl: float | None = None
    base_ppl_se: NonNegativeFloat | None = None
    base_bias: dict[str, float | None] = {}
    base_bias_se: dict[str, NonNegativeFloat | None] = {}
    bias_floor: dict[str, float | None] = {}
    base_bias_corrected: dict[str, float | None] = {}
    base_bias_corrected_se: dict[str, NonNegativeFloat | None] = {}
    reliability: dict[str, float | None] = {}
    n_samples: dict[str, NonNegativeInt | None] = {}
    effective_share: dict[str, list[float] | None] = {}
    verdict: dict[str, BiasVerdict | None] = {}
    prompt_echo: dict[str, float | None] = {}
    prompt_echo_se: dict[str, NonNegativeFloat | None] = {}
    corrected: dict[str, list[int] | None] = {}
    discount: dict[str, float | None] = {}
    discount_bias: dict[str, NonNegativeFloat | None] = {}
    iterative: dict[str, dict[str, list[int]]] = {}


def from_record(data: dict[str, Any]) -> Described:
    """The typed parts of a flat record; raises ValueError for one that `to_record` could not have written."""
    made = _Record.model_validate({name: value for name, value in data.items() if name in _Record.model_fields})
    rest = {name: value for name, value in data.items() if name not in _Record.model_fields}
    by_axis = {name: value for name, value in made if isinstance(value, dict) and name != "iterative"}
    axes = dict.fromkeys(axis for values in by_axis.values() for axis in values)

    def intact(axis: str) -> IntactBias:
        n, share, heads = (by_axis[name].get(axis) for name in ("n_samples", "effective_share", "corrected"))
        return IntactBias(
            bias=_estimate(made.base_bias.get(axis), made.base_bias_se.get(axis), n),
            verdict=made.verdict.get(axis),
            prompt_echo=_estimate(made.prompt_echo.get(axis), made.prompt_echo_se.get(axis), None),
            floor=_known(made.bias_floor.get(axis)),
            corrected=_estimate(made.base_bias_corrected.get(axis), made.base_bias_corrected_se.get(axis), n),
            reliability=_known(made.reliability.get(axis)),
            n_samples=n,
            effective_share=None if share is None else tuple(share),
            corrected_heads=None if heads is None else tuple(heads),
            discount=_known(made.discount.get(axis)),
            discount_bias=_known(made.discount_bias.get(axis)),
        )

    return Described(
        Provenance.model_validate(rest),
        IntactPerplexity(_estimate(made.base_ppl, made.base_ppl_se, None), _known(made.reliability.get("ppl"))),
        {axis: intact(axis) for axis in axes if axis != "ppl"},
        {axis: {gamma: tuple(order) for gamma, order in by.items()} for axis, by in made.iterative.items()},
    )


def to_record(
    meta: Provenance, intact_ppl: IntactPerplexity, intact: Mapping[str, IntactBias], orders: Orders
) -> dict[str, Any]:
    """One flat object of plain JSON values.

    Scores of a measured model have every key, with null for what is not defined; others only what is known of them.
    """
    measured = intact_ppl.ppl is not None

    def by_axis(value: Callable[[IntactBias], Any]) -> dict[str, Any]:
        values = {axis: _plain(value(of_axis)) for axis, of_axis in intact.items()}
        return values if measured else {axis: known for axis, known in values.items() if known is not None}

    numbers = {
        "base_ppl": _plain(intact_ppl.ppl and intact_ppl.ppl.value),
        "base_ppl_se": _plain(intact_ppl.ppl and intact_ppl.ppl.se),
        "base_bias": by_axis(lambda a: a.bias and a.bias.value),
        "base_bias_se": by_axis(lambda a: a.bias and a.bias.se),
        "bias_floor": by_axis(lambda a: a.floor),
        "base_bias_corrected": by_axis(lambda a: a.corrected and a.corrected.value),
        "base_bias_corrected_se": by_axis(lambda a: a.corrected and a.corrected.se),
        "reliability": by_axis(lambda a: a.reliability),
        "verdict": by_axis(lambda a: a.verdict and asdict(a.verdict)),
        "prompt_echo": by_axis(lambda a: a.prompt_echo and a.prompt_echo.value),
        "prompt_echo_se": by_axis(lambda a: a.prompt_echo and a.prompt_echo.se),
        "n_samples": by_axis(lambda a: a.n_samples),
        "effective_share": by_axis(lambda a: a.effective_share),
        "corrected": by_axis(lambda a: a.corrected_heads),
        "discount": by_axis(lambda a: a.discount),
        "discount_bias": by_axis(lambda a: a.discount_bias),
        "iterative": {axis: {gamma: list(order) for gamma, order in by.items()} for axis, by in orders.items()},
    }
    if measured or intact_ppl.reliability is not None:
        numbers["reliability"] = {"ppl": _plain(intact_ppl.reliability), **numbers["reliability"]}
    return {**meta.to_json(), **(numbers if measured else {name: v for name, v in numbers.items() if v})}


def _estimate(value: float | None, se: float | None, n: int | None) -> Estimate | None:
    known = _known(value)
    return None if known is None else Estimate(known, math.nan if se is None else se, n or 0)


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    """A number or tuple as JSON has it; what is NaN is null."""
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
