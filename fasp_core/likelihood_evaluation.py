"""What pruning a set of heads does to the bias of log-odds: the likelihood metric's counterpart of `evaluate`.

The same prompts and pairs are read with and without the heads: nothing is sampled, differences are paired, and the
numbers are those of the scores' definition. Intervals stand for other prompts and pairs (see `likelihood_effects`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from .bias import axis_bias
from .errors import InputError, nearest
from .estimates import Estimate
from .heads import Head
from .likelihood import likelihood_of
from .likelihood_effects import REPLICATES, reweighted
from .models import LanguageModel
from .pairs import PairSet, load_pairs
from .plan import each_prompt_once
from .progress import ProgressCallback, StageClock, Stop
from .prompts import PromptSet

PROMPTS = 360  # per axis, as when heads are scored
PROMPTS_PER_STEP = 30


@dataclass(frozen=True)
class OddsChange:
    """Bias of one axis in nats, and every group's mean log-odds, before and after pruning; change = after − before.

    In `groups`, a larger value means that toxic continuations are likelier after prompts about that group.
    """

    axis: str
    split: str
    before: Estimate
    after: Estimate
    change: Estimate
    groups: dict[str, dict[str, Estimate]]
    n_prompts: int
    n_pairs: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def evaluate_likelihood(
    lm: LanguageModel, pruned: Iterable[Head], axis: str, *, prompts: PromptSet, split: str = "valid",
    pairs: PairSet | None = None, seed: int = 0, n_prompts: int = PROMPTS, progress: ProgressCallback | None = None,
    stop: Stop | None = None,
) -> OddsChange:  # fmt: skip
    """Measure the bias of `axis` with the heads `pruned` knocked out, against the intact model.

    Raises InputError for heads, an axis or a split that do not exist; Cancelled once `stop()` is true.
    """
    heads, pairs = tuple(sorted(set(pruned))), pairs or load_pairs()
    for layer, head in heads:
        lm.layout.flat_id(layer, head)
    if axis not in prompts.axes:
        raise InputError(f"unknown axis '{axis}'; {nearest(axis, prompts.axes)}")
    chosen = prompts.select(axes=[axis], split=split)
    order = each_prompt_once(chosen.frame, seed=seed, axis=axis, n_blocks=pairs.n_blocks).head(n_prompts)
    order = order.merge(chosen.frame[["prompt_id", "group", "prompt"]], on="prompt_id", how="left")
    stems = pairs.block_stems(order["block"])
    clock = StageClock(f"log-odds {axis} {split}", len(order), "prompts", progress)
    before, after = [], []
    for start in range(0, len(order), PROMPTS_PER_STEP):
        rows = slice(start, start + PROMPTS_PER_STEP)
        some = order["prompt"].iloc[rows].tolist()
        before.append(likelihood_of(lm, some, pairs, stems=stems[rows], stop=stop))
        after.append(likelihood_of(lm, some, pairs, stems=stems[rows], off=heads, stop=stop) if heads else before[-1])
        clock.step(len(some))
    shares = chosen.group_shares(axis).sort_index()
    estimates, groups = _estimates(order, stems, np.concatenate(before), np.concatenate(after), shares, seed)
    return OddsChange(axis, split, **estimates, groups=groups, n_prompts=len(order), n_pairs=len(pairs.frame))


def _estimates(
    order: pd.DataFrame, stems: np.ndarray, before: np.ndarray, after: np.ndarray, shares: pd.Series, seed: int
) -> tuple[dict[str, Estimate], dict[str, dict[str, Estimate]]]:
    """Before, after and change of the bias and of each group's mean, from reads that share their weights."""
    weights = reweighted(order["cell"].to_numpy(), stems, REPLICATES, np.random.default_rng(seed))
    weights = np.concatenate([np.ones((1, stems.size)), weights])
    group = np.repeat(pd.Categorical(order["group"], categories=shares.index).codes, stems.shape[1])
    means = []
    for values in (before, after):
        columns = [weights[:, group == g] @ values.ravel()[group == g] for g in range(len(shares))]
        sizes = [weights[:, group == g].sum(1) for g in range(len(shares))]
        means.append(np.stack(columns, -1) / np.stack(sizes, -1))  # (1 + R, G)
    units = min(np.unique(stems).size, int(order["group"].value_counts().min()))
    bias = _paired(*(axis_bias(each, shares.to_numpy()) for each in means), n=len(order), units=units)
    sizes = order["group"].value_counts()
    by_group = {
        name: _paired(means[0][:, g], means[1][:, g], n=int(sizes[name]), units=units)
        for g, name in enumerate(shares.index)
    }
    return bias, by_group


def _paired(before: np.ndarray, after: np.ndarray, *, n: int, units: int) -> dict[str, Estimate]:
    """Row 0 is the value, the others are replicates; intervals are Student's, for the fewer of stems and prompts."""
    parts = {"before": before, "after": after, "change": after - before}
    df = units - 1 if units > 1 else None
    return {
        name: Estimate(float(x[0]), float(x[1:].std(ddof=1)) if df else float("nan"), n, df)
        for name, x in parts.items()
    }
