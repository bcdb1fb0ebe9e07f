"""How the biases of different axes go together over heads: does a head that drives one also drive another?

    axis_correlations(scores)                                     # Pearson, all heads
    axis_correlations(scores, method="spearman", heads="unprotected", gamma=0.3, disattenuate=True)

A correlation over all heads is made by the few that the model cannot do without: losing one of them changes every bias.
So look at the unprotected heads too (`captions.describe_correlations` says what changes). Noise of the scores makes any
correlation smaller; `disattenuate` divides by the square root of the two reliabilities (Spearman 1904).

Intervals, 95 %, come from a jackknife that leaves out one layer at a time, on Fisher's scale, with Student's quantile
for the number of layers: heads of one layer are alike, and scores have heavy tails. On synthetic heads of such kinds
these cover 89 to 97 %, where Fisher's own interval covers 42 to 95 % (docs/estimators.md). No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from fasp_core.errors import InputError, nearest
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.select_heads import protected_heads

METHODS = ("pearson", "spearman")
MIN_HEADS = 4
MIN_LAYERS = 5  # with fewer, single heads are left out instead


@dataclass(frozen=True, eq=False)
class AxisCorrelations:
    """Correlations of z_bias between A axes over `n_heads` heads: `r` and its 95 % interval, (A, A) each.

    NaN where it is undefined; `notes` say why, a sentence each. `reliability` is that of each axis's scores over the
    same heads, NaN where errors are not known: 1 − mean(se²) / variance. `disattenuated` tells whether r was corrected.
    """

    axes: tuple[str, ...]
    r: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n_heads: int
    method: str = "pearson"
    disattenuated: bool = False
    reliability: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def axis_correlations(
    scores: HeadScores,
    *,
    method: Literal["pearson", "spearman"] = "pearson",
    heads: Literal["all", "unprotected"] = "all",
    gamma: float = 0.3,
    disattenuate: bool = False,
) -> AxisCorrelations:
    """Correlate z_bias between all pairs of axes, over all heads or those that `gamma` leaves unprotected.

    A head that lacks a value is left out of the pairs that need it, as pandas does.
    Raises InputError for an unknown method or set of heads, and for a γ outside [0, 1].
    """
    for name, value, allowed in (("method", method, METHODS), ("heads", heads, ("all", "unprotected"))):
        if value not in allowed:
            raise InputError(f"unknown {name} '{value}'; {nearest(str(value), allowed)}")
    kept = np.ones(scores.n_heads, bool)
    if heads == "unprotected":
        kept[protected_heads(scores, gamma)] = False
    axes = scores.axes
    # What was read decides ties: a difference to the median head may round two values to one.
    values = pd.DataFrame({axis: scores.drive(axis) for axis in axes})[kept]
    layers = scores.frame["layer"].to_numpy()[kept]
    r = _correlate(values, method)
    low, high = _intervals(values, layers, r, method)
    reliability = {axis: _reliability(scores, axis, kept) for axis in axes}
    notes = [
        f"{axis}: {n} of the {len(values)} heads {'has' if n == 1 else 'have'} no value and are left out of its pairs."
        for axis, n in values.isna().sum().items()
        if n
    ]
    notes += [f"{axis}: no correlation, all heads have the same value." for axis in axes if values[axis].nunique() == 1]
    if disattenuate:
        (r, low, high), more = _disattenuated((r, low, high), reliability)
        notes += more
    return AxisCorrelations(tuple(axes), r, low, high, int(kept.sum()), method, disattenuate, reliability, tuple(notes))


def _correlate(values: pd.DataFrame, method: str) -> np.ndarray:
    """(A, A), pairwise complete; NaN where a pair has fewer than MIN_HEADS heads or a constant axis."""
    return values.corr(method=method, min_periods=MIN_HEADS).to_numpy(copy=True)


def _intervals(values: pd.DataFrame, layers: np.ndarray, r: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Ends of 95 % intervals, (A, A) each, by a jackknife over layers; a correlation of ±1 has no width."""
    groups = layers if np.unique(layers).size >= MIN_LAYERS else np.arange(len(values))
    units = np.unique(groups)
    without = np.stack([_correlate(values[groups != unit], method) for unit in units])
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out, z = np.arctanh(without), np.arctanh(r)
        spread = (len(units) - 1) / len(units) * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)
        half = stdtrit(len(units) - 1, 0.975) * np.sqrt(spread)
        ends = np.tanh(z - half), np.tanh(z + half)
    perfect = np.abs(r) > 1 - 1e-12
    return np.where(perfect, r, ends[0]), np.where(perfect, r, ends[1])


def _reliability(scores: HeadScores, axis: str, kept: np.ndarray) -> float:
    """Share of the variance of z_bias over the kept heads that is not noise: 1 − mean(se²) / variance.

    It is negative where the scores differ less than their errors say they should: nothing but noise.
    """
    z, se = scores.z_bias(axis)[kept], scores.z_bias_se(axis)[kept]
    good = np.isfinite(z) & np.isfinite(se)
    if good.sum() < MIN_HEADS or z[good].var() == 0:
        return float("nan")
    return float(1 - np.mean(se[good] ** 2) / z[good].var(ddof=1))


def _disattenuated(
    values: tuple[np.ndarray, ...], reliability: dict[str, float]
) -> tuple[tuple[np.ndarray, ...], list[str]]:
    """The correlations over √(product of reliabilities), the diagonal 1; and what could not be corrected.

    A corrected value beyond ±1 cannot be: the reliability is known too badly, and the pair is left out (NaN).
    """
    axes, rel = list(reliability), np.array(list(reliability.values()))
    notes = ["Corrected for the noise of the scores; the intervals leave out that their reliability is uncertain too."]
    for axis, value in reliability.items():
        if not value > 0:
            why = "errors not known, so not corrected" if np.isnan(value) else _too_noisy(value)
            notes.append(f"{axis.replace('_', ' ').capitalize()}: {why}.")
    usable = np.where(rel > 0, rel, np.nan)
    factor = 1 / np.sqrt(np.outer(usable, usable))
    np.fill_diagonal(factor, 1.0)
    beyond = np.abs(values[0] * factor) > 1 + 1e-12
    notes += [
        f"{axes[a]} and {axes[b]}: more than 1 when corrected, so not usable and left out."
        for a, b in np.argwhere(np.triu(beyond, 1))
    ]
    return tuple(np.where(beyond, np.nan, np.clip(v * factor, -1, 1)) for v in values), notes


def _too_noisy(reliability: float) -> str:
    return f"too noisy to correct (reliability {reliability:.2f})".replace("-", "\u2212")
