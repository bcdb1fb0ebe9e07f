"""Before and after pruning, from pairs: perplexity and bias with 95 % intervals. Numpy and pandas.

Both models get the same prompts, draws, noise, stems and text windows. So the change is estimated from pairs, and
prompts (for toxicity), prompts and stems (for log-odds) or windows (for perplexity) are resampled for both models
together.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from fasp_core.stats.bias import axis_bias
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.log_odds import reweighted
from fasp_core.stats.noise_floor import bias_floor, corrected_bias, gap_errors
from fasp_core.stats.resampling import REPLICATES, replicate_counts


@dataclass(frozen=True)
class AxisMetrics:
    """Bias of one axis by one measure, the mean of each group, the bias without what noise adds, and the noise floor.

    The measure is toxicity, or the log-odds of toxic and benign continuations, in nats.
    """

    bias: Estimate
    groups: dict[str, Estimate]
    corrected: Estimate
    floor: float | None = None


def compare_windows(windows: pd.DataFrame) -> list[Estimate]:
    """Perplexity before, after, and its change; NaN without any window.

    `windows` has a row per window: n_tokens, nll_before, nll_after (nats). Change = after − before.
    """
    if windows.empty:
        return [Estimate(math.nan, math.nan, 0)] * 3
    return _paired(*_perplexities(windows), n=len(windows), units=len(windows))


def compare_axis(rows: pd.DataFrame, share: pd.Series) -> list[AxisMetrics] | None:
    """One axis before, after, and its change; None until every group has a text.

    `rows` has a row per text: group, prompt_id, toxicity_before, toxicity_after; `share` is π_g, indexed by group.
    Change = after − before.
    """
    if set(rows["group"]) != set(share.index):
        return None
    sums = _prompt_sums(rows)
    group = pd.Categorical(sums.index.get_level_values(0), categories=share.index).codes.astype(int)
    before, after = _group_means(sums, group, len(share))
    pi = share.to_numpy()
    sizes = rows["group"].value_counts()
    prompts = pd.Series(np.bincount(group), index=share.index)
    errors = [gap_errors(means[1:], pi, prompts.to_numpy()) for means in (before, after)]
    floors = bias_floor(sums["n"].to_numpy(), sums[["before", "after"]].to_numpy(), group, pi)
    return _axis_metrics((before, after), share, errors, floors, sizes, prompts)


def compare_level(rows: pd.DataFrame, share: pd.Series) -> list[AxisMetrics] | None:
    """Mean toxicity before, after, and its change; None until every axis has a text.

    As `compare_axis`, with the axes for groups, and for the bias the mean Σ_g π_g μ_g, to which noise adds nothing.
    """
    if set(rows["group"]) != set(share.index):
        return None
    sums = _prompt_sums(rows)
    group = pd.Categorical(sums.index.get_level_values(0), categories=share.index).codes.astype(int)
    means = _group_means(sums, group, len(share))
    sizes, prompts = rows["group"].value_counts(), pd.Series(np.bincount(group), index=share.index)
    levels = [each @ share.to_numpy() for each in means]
    return _by_part(levels, levels, means, share, sizes, prompts, [None, None])


def compare_odds(rows: pd.DataFrame, share: pd.Series) -> list[AxisMetrics] | None:
    """One axis by log-odds, in nats, before, after, and its change; None until every group has a reading.

    `rows` has a row for each time that a prompt was read with its m stems: group, prompt_id, cell, and the lists stem,
    log_odds_before, log_odds_after (m); `share` is π_g, indexed by group. Cells and stems are resampled for all groups
    together (see `stats.log_odds`), and intervals are Student's, for the fewer of stems and of a group's prompts.
    """
    if set(rows["group"]) != set(share.index):
        return None
    columns, pi = ("log_odds_before", "log_odds_after"), share.to_numpy()
    means, units = odds_means(rows, share, columns)
    errors = [gap_errors(each[1:], pi) for each in means]
    floors = _odds_floors(rows, np.stack([np.stack(rows[name].to_list()).mean(1) for name in columns], -1), pi)
    return _axis_metrics(means, share, errors, floors, rows["group"].value_counts(), units, scale=False)


def odds_means(rows: pd.DataFrame, share: pd.Series, columns: Sequence[Hashable]) -> tuple[list[np.ndarray], pd.Series]:
    """Mean log-odds of each group, (1 + R, G) for every model in `columns`, and each group's independent units.

    Row 0 is of the data, the others of cells and stems resampled for all groups and models together; `rows` and `share`
    as in `compare_odds`.
    """
    stems = np.stack(rows["stem"].to_list())
    weights = reweighted(rows["cell"].to_numpy(), stems, REPLICATES, np.random.default_rng(0))
    weights = np.concatenate([np.ones((1, stems.size)), weights])  # (1 + R, n·m)
    code = pd.Categorical(rows["group"], categories=share.index).codes.astype(int)
    inside = (np.repeat(code, stems.shape[1])[:, None] == np.arange(len(share))).astype(float)  # (n·m, G)
    read = weights @ inside
    odds = (np.stack(rows[name].to_list()) for name in columns)
    means = [weights @ (inside * values.reshape(-1, 1)) / read for values in odds]
    prompts = rows.groupby("group")["prompt_id"].nunique().reindex(share.index)
    return means, np.minimum(prompts, np.unique(stems).size)


def _odds_floors(rows: pd.DataFrame, values: np.ndarray, pi: np.ndarray) -> np.ndarray:
    """The noise floor before and after, (2), from the readings' log-odds (n, 2), less what a cell's prompts share."""
    by_prompt = rows[["group", "prompt_id", "cell"]].assign(before=values[:, 0], after=values[:, 1])
    means = by_prompt.groupby(["group", "prompt_id", "cell"], sort=True).mean()
    group, _, cell = (codes.astype(int) for codes in means.index.codes)
    return bias_floor(np.ones(len(means)), means.to_numpy(), group, pi, block=cell)


def _axis_metrics(
    means: Sequence[np.ndarray],
    share: pd.Series,
    errors: Sequence[np.ndarray],
    floors: np.ndarray,
    sizes: pd.Series,
    units: pd.Series,
    *,
    scale: bool = True,
) -> list[AxisMetrics]:
    """Before, after and change from the groups' means (1 + R, G) before and after, and the `errors` (G) of their gaps.

    `sizes` and `units` are the readings and the independent units of each group.
    """
    pi = share.to_numpy()
    bias = [axis_bias(each, pi) for each in means]
    corrected = [corrected_bias(each, e, pi) for each, e in zip(means, errors, strict=True)]
    return _by_part(bias, corrected, means, share, sizes, units, floors.tolist(), scale=scale)


def _by_part(
    bias: Sequence[np.ndarray],
    corrected: Sequence[np.ndarray],
    means: Sequence[np.ndarray],
    share: pd.Series,
    sizes: pd.Series,
    units: pd.Series,
    floors: Sequence[float | None],
    *,
    scale: bool = True,
) -> list[AxisMetrics]:
    """Before, after and change, from what each row of counts gives before and after: (1 + R), of the groups (…, G)."""
    paired = partial(_paired, n=int(sizes.sum()), units=int(units.min()), scale=scale)
    groups = [
        _paired(*(each[:, g] for each in means), n=int(sizes[name]), units=int(units[name]), scale=scale)
        for g, name in enumerate(share.index)
    ]
    by_part = [dict(zip(share.index, (group[i] for group in groups), strict=True)) for i in range(3)]
    parts = zip(paired(*bias), by_part, paired(*corrected), [*floors, None], strict=True)
    return [AxisMetrics(*part) for part in parts]


def _perplexities(windows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Perplexity before and after: row 0 the estimate, the others bootstrap replicates over windows."""
    counts = replicate_counts(np.zeros(len(windows), int))
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
    counts = replicate_counts(group)
    inside = (group[:, None] == np.arange(n_groups)).astype(float)  # (P, G)
    n = counts @ (inside * sums["n"].to_numpy()[:, None])
    before, after = (counts @ (inside * sums[when].to_numpy()[:, None]) / n for when in ("before", "after"))
    return before, after


def _paired(before: np.ndarray, after: np.ndarray, *, n: int, units: int, scale: bool = True) -> list[Estimate]:
    """Estimates of before, after and after − before; row 0 is the value, the other rows are replicates.

    `units` is the number of independent units (prompts or windows; of the smallest group, where there are groups).
    """
    return [Estimate.of_replicates(values, n, units, scale=scale) for values in (before, after, after - before)]
