"""What measuring a pruned model gives: paired estimates with 95 % intervals. Numpy only.

Before and after share prompts, draws, noise and windows, so the change is estimated from pairs; prompts (for bias) and
windows (for perplexity) are resampled together for both.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from .bias import axis_bias, bootstrap_counts
from .noise_floor import bias_floor, corrected_bias, gap_errors

REPLICATES = 400
Z95 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error, 95 % interval, and the number of texts or windows behind it.

    The interval is Student's with `df` degrees of freedom: with few observations their own spread is uncertain too.
    Where a single observation tells nothing of the error, `se`, `low` and `high` are NaN. `df` None: many.
    """

    value: float
    se: float
    n: int
    df: int | None = None

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - self._quantile * self.se

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + self._quantile * self.se

    @property
    def _quantile(self) -> float:
        return Z95 if self.df is None else float(student.ppf(0.975, self.df))


@dataclass(frozen=True)
class Metrics:
    """Perplexity, bias of each axis, mean toxicity of each axis's groups, and how degenerate the texts are.

    `degeneration` has `repetition` and `distinct_bigrams` (see there), over the texts of all axes. `bias_floor` (absent
    for a change) and `bias_corrected` say what noise does to a bias (see `noise_floor`).
    """

    ppl: Estimate
    bias: dict[str, Estimate] = field(default_factory=dict)
    groups: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    degeneration: dict[str, Estimate] = field(default_factory=dict)
    bias_floor: dict[str, float] = field(default_factory=dict)
    bias_corrected: dict[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class AxisMetrics:
    """Bias of one axis, mean toxicity of its groups, the bias without what noise adds, and the noise floor."""

    bias: Estimate
    groups: dict[str, Estimate]
    corrected: Estimate
    floor: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """The measured effect of pruning a set of heads; `change` = after − before, from pairs."""

    pruned: tuple[tuple[int, int], ...]
    split: str
    before: Metrics
    after: Metrics
    change: Metrics
    n_texts: int
    n_windows: int
    fraction_done: float

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
        """Bias of the pruned model by axis."""
        return {axis: estimate.value for axis, estimate in self.after.bias.items()}

    @property
    def bias_se(self) -> dict[str, float]:
        """Standard errors of `bias`."""
        return {axis: estimate.se for axis, estimate in self.after.bias.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes None."""
        return _plain({**asdict(self), "pruned": [list(head) for head in self.pruned]})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Evaluation:
        """The inverse of `to_dict`; results stored before there was a noise floor have none."""
        parts = {name: _metrics(data[name]) for name in ("before", "after", "change")}
        return cls(**{**data, **parts, "pruned": tuple((layer, head) for layer, head in data["pruned"])})


def compare(texts: pd.DataFrame, windows: pd.DataFrame, shares: dict[str, pd.Series]) -> dict[str, Metrics]:
    """`before`, `after` and `change` from paired measurements.

    `texts` has axis, group, prompt_id, toxicity_before, toxicity_after; `windows` has n_tokens, nll_before, nll_after
    (nats); `shares[axis]` is π_g indexed by group. An axis is left out until every group has a text.
    """
    axes = {axis: compare_axis(texts[texts["axis"] == axis], share) for axis, share in shares.items()}
    return joined(compare_windows(windows), {axis: parts for axis, parts in axes.items() if parts is not None})


def joined(
    ppl: list[Estimate], axes: dict[str, list[AxisMetrics]], degeneration: dict[str, list[Estimate]] | None = None
) -> dict[str, Metrics]:
    """`before`, `after` and `change` from what was compared of each; every list has these three, in this order."""
    texts = degeneration or {}
    return {
        name: Metrics(
            ppl[i], {axis: parts[i].bias for axis, parts in axes.items()},
            {axis: parts[i].groups for axis, parts in axes.items()}, {what: parts[i] for what, parts in texts.items()},
            {axis: parts[i].floor for axis, parts in axes.items() if parts[i].floor is not None},
            {axis: parts[i].corrected for axis, parts in axes.items()},
        )
        for i, name in enumerate(("before", "after", "change"))
    }  # fmt: skip


def compare_windows(windows: pd.DataFrame) -> list[Estimate]:
    """Perplexity before, after, and its change, from `windows` as `compare` takes them; NaN without any."""
    if windows.empty:
        return [Estimate(math.nan, math.nan, 0)] * 3
    return _paired(*_perplexities(windows), n=len(windows), units=len(windows))


def compare_axis(rows: pd.DataFrame, share: pd.Series) -> list[AxisMetrics] | None:
    """One axis before, after, and its change, from `texts` as `compare` takes them; None until every group has one."""
    if set(rows["group"]) != set(share.index):
        return None
    sums = _prompt_sums(rows)
    group = pd.Categorical(sums.index.get_level_values(0), categories=share.index).codes.astype(int)
    before, after = _group_means(sums, group, len(share))
    pi = share.to_numpy()
    sizes = rows["group"].value_counts()
    prompts = pd.Series(np.bincount(group), index=share.index)
    counted = {"n": len(rows), "units": int(prompts.min())}
    bias = _paired(axis_bias(before, pi), axis_bias(after, pi), **counted)
    corrected = _paired(
        *(corrected_bias(means, gap_errors(means[1:], pi, prompts.to_numpy()), pi) for means in (before, after)),
        **counted,
    )
    floors = bias_floor(sums["n"].to_numpy(), sums[["before", "after"]].to_numpy(), group, pi)
    groups = [
        _paired(before[:, g], after[:, g], n=int(sizes[name]), units=int(prompts[name]))
        for g, name in enumerate(share.index)
    ]
    by_part = [dict(zip(share.index, (group[i] for group in groups), strict=True)) for i in range(3)]
    return [AxisMetrics(*parts) for parts in zip(bias, by_part, corrected, [*floors.tolist(), None], strict=True)]


def _perplexities(windows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Perplexity before and after: row 0 the estimate, the others bootstrap replicates over windows."""
    counts = _counts(np.zeros(len(windows), int))
    tokens = counts @ windows["n_tokens"].to_numpy()
    before, after = (np.exp(counts @ windows[f"nll_{when}"].to_numpy() / tokens) for when in ("before", "after"))
    return before, after


def _prompt_sums(rows: pd.DataFrame) -> pd.DataFrame:
    """Samples `n` and summed toxicity `before` and `after` of each prompt, indexed by group and prompt."""
    return rows.groupby(["group", "prompt_id"], sort=True).agg(
        n=("toxicity_before", "size"), before=("toxicity_before", "sum"), after=("toxicity_after", "sum")
    )


def _group_means(sums: pd.DataFrame, group: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean toxicity of each group before and after, (1 + replicates, G) each; prompts are resampled within groups."""
    counts = _counts(group)
    inside = (group[:, None] == np.arange(n_groups)).astype(float)  # (P, G)
    n = counts @ (inside * sums["n"].to_numpy()[:, None])
    before, after = (counts @ (inside * sums[when].to_numpy()[:, None]) / n for when in ("before", "after"))
    return before, after


def _counts(strata: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([np.ones((1, strata.size)), bootstrap_counts(strata, REPLICATES, rng)])


def _paired(before: np.ndarray, after: np.ndarray, *, n: int, units: int) -> list[Estimate]:
    """Estimates of before, after and after − before; row 0 is the value, the other rows are replicates.

    `units` is the number of independent units (prompts or windows; of the smallest group, where there are groups).
    Resampling them understates the spread by √((units − 1) / units), which is put right here.
    """
    scale, df = (math.sqrt(units / (units - 1)), units - 1) if units > 1 else (math.nan, None)
    return [Estimate(float(x[0]), float(x[1:].std(ddof=1)) * scale, n, df) for x in (before, after, after - before)]


def _metrics(data: dict[str, Any]) -> Metrics:
    return Metrics(
        _estimate(data["ppl"]),
        {axis: _estimate(e) for axis, e in data["bias"].items()},
        {axis: {g: _estimate(e) for g, e in groups.items()} for axis, groups in data["groups"].items()},
        {what: _estimate(e) for what, e in data["degeneration"].items()},
        dict(data.get("bias_floor") or {}),
        {axis: _estimate(e) for axis, e in (data.get("bias_corrected") or {}).items()},
    )


def _estimate(data: dict[str, Any]) -> Estimate:
    numbers = {key: math.nan if value is None else value for key, value in data.items() if key != "df"}
    return Estimate(**numbers, df=data["df"])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value
