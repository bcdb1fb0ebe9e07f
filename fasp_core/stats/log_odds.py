"""What each head does to the bias of log-odds, and how sure that is. Numpy only; `passes.log_odds` measures it.

The value of a prompt is its mean log-odds of toxic and benign continuations (nats); bias = Σ_g |μ − μ_g| with μ_g the
mean value of group g's prompts, as everywhere. Without head h each value changes by Δ_h:

* gradient (first order): Δ = −∂ value / ∂ gate, over all prompts;
* combined: gradient + the mean of (knock-out − gradient) over the group's prompts that have both.

Nothing is sampled from the model. The uncertainty is that of the choice of prompts and pairs. Both are resampled, as
two crossed random factors, by the product-weight bootstrap (Owen and Eckles 2012, doi:10.1214/12-AOAS547): a read
counts e_cell · e_stem times, with e exponential of mean 1. Its errors are rather too large than too small. Cells (one
prompt of each group, from one template) and stems are shared by the groups, so what moves all groups alike cancels.

Letters: n rows (a prompt and m of its stems; it may have several), M = n·m reads, G groups, N heads, R replicates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fasp_core.stats.axis_sums import MIN_KNOCKOUT_PROMPTS
from fasp_core.stats.bias import EffectRows, HeadEffects, axis_bias, estimated
from fasp_core.stats.noise_floor import bias_floor, gap_errors
from fasp_core.stats.resampling import REPLICATES, SPLITS, Replicates


@dataclass(frozen=True)
class OddsSamples:
    """Everything measured for one axis: one row for each time that a prompt was read, with m stems.

    `log_odds` (n, m) in nats (> 0: toxic is likelier) for the stems `stem` (n, m); `group` (n) codes into `groups`;
    `cell` and `block` (n) as planned (see `data.order.each_prompt_once`); `shares` (G) = π_g; `gradient` (n, m, N)
    first-order changes of the log-odds without each head; `knockout` (n, m, N) exact ones with NaN where not measured,
    or None.
    """

    log_odds: np.ndarray
    group: np.ndarray
    cell: np.ndarray
    block: np.ndarray
    stem: np.ndarray
    shares: np.ndarray
    groups: tuple[str, ...]
    gradient: np.ndarray
    knockout: np.ndarray | None = None


def likelihood_effects(
    samples: OddsSamples,
    *,
    replicates: int = REPLICATES,
    splits: int = SPLITS,
    seed: int = 0,
    protected: np.ndarray | None = None,
) -> HeadEffects:
    """z_bias of every head in nats, with standard errors over the choice of prompts and pairs.

    Reliability is split-half over blocks, so that the halves share neither prompts nor pairs; with a single block it is
    over cells. Where prompts were read again with other blocks, both are halved, see `_of_all_readings`.
    `protected` (N) bool leaves heads out of the reliability: those γ will protect anyway.
    """
    rng = np.random.default_rng(seed)
    prompts = prompt_values(samples)
    read_again = len(prompts.group) < len(samples.group)
    halves = _halves(samples, read_again, splits, rng)
    draws = Replicates.of(reweighted(samples.cell, samples.stem, replicates, rng), *halves)
    rows = _effect_rows(samples, draws.counts)
    effects = estimated(
        rows,
        draws,
        shares=samples.shares,
        group=prompts.group,
        gap_se=gap_errors(draws.boot(rows.means), samples.shares),
        floor=bias_floor(
            np.ones(len(prompts.group)), prompts.value[:, None], prompts.group, samples.shares, block=prompts.cell
        ),
        effective_share=np.ones(samples.gradient.shape[-1]),
        protected=protected,
    )
    if not read_again:
        return effects
    return replace(effects, reliability=_of_all_readings(effects.reliability, samples, splits, protected, rng))


def _of_all_readings(
    crossed: float, samples: OddsSamples, splits: int, protected: np.ndarray | None, rng: np.random.Generator
) -> float:
    """The reliability of the ranking by all readings, from that `crossed` halves of cells and of blocks have.

    Such a half is what half the prompts read of half the blocks: a quarter of all readings. So with signal V and, over
    all readings, noise C of cells, S of stems and R of single readings, crossed = V / (V + C + S + 2R). Halves of the
    readings of each cell share cells and stems, and give r = 1 − R / (V + C + S + R). Then what is asked,
    V / (V + C + S + R), is crossed · (2 − r).
    """
    half = np.repeat(_half_of_each_cell(samples, splits, rng), samples.stem.shape[1], axis=1).astype(float)
    draws = Replicates.of(np.empty((0, half.shape[1])), half)
    z = _effect_rows(samples, draws.counts).z
    of_readings = draws.reliability(z if protected is None else z[:, ~protected])
    return crossed if np.isnan(of_readings) else float(np.minimum(1.0, crossed * (2 - of_readings)))  # NaN stays


def _half_of_each_cell(samples: OddsSamples, splits: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of a first half, (splits, n) bool: of the blocks that each cell read half, all its prompts with the same."""
    reads, row = np.unique(np.stack([samples.cell, samples.block]), axis=1, return_inverse=True)
    _, cell, count = np.unique(reads[0], return_inverse=True, return_counts=True)
    first = np.concatenate([[0], count.cumsum()[:-1]])[cell]  # where the reads of each one's cell begin
    chosen = np.empty((splits, len(cell)), bool)
    for split in range(splits):
        place = np.argsort(np.lexsort((rng.random(len(cell)), cell)))
        chosen[split] = place - first < (count + rng.integers(2, size=len(count)))[cell] // 2
    return chosen[:, row.ravel()]


def doubtful_heads(samples: OddsSamples) -> list[int]:
    """Flat ids of the heads whose first-order change is too far off to rank them by.

    Over the reads that have both, the root mean square of (knock-out − gradient) is above half that of the knock-out,
    and above the median standard error of z_bias.
    """
    if samples.knockout is None:
        return []
    exact = samples.knockout.reshape(-1, samples.gradient.shape[-1])
    error, size = (np.sqrt(np.nanmean(x**2, axis=0)) for x in (exact - samples.gradient.reshape(exact.shape), exact))
    return np.flatnonzero((error > size / 2) & (error > np.median(likelihood_effects(samples).z_se))).tolist()


@dataclass(frozen=True)
class PromptValues:
    """Mean log-odds `value` (P) of every prompt over all that it read, its `group` and `cell` (P)."""

    value: np.ndarray
    group: np.ndarray
    cell: np.ndarray


def prompt_values(samples: OddsSamples) -> PromptValues:
    """The log-odds by prompt; a prompt is known by its cell and group, as a cell holds one of each group."""
    n_groups = len(samples.groups)
    codes, prompt = np.unique(samples.cell * n_groups + samples.group, return_inverse=True)
    value = np.bincount(prompt, samples.log_odds.mean(1)) / np.bincount(prompt)
    return PromptValues(value, codes % n_groups, np.unique(codes // n_groups, return_inverse=True)[1])


def reweighted(cell: np.ndarray, stem: np.ndarray, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """How much each read counts in each replicate, (R, n·m), for the prompts' cells (n) and stems (n, m)."""
    cells, stems = np.unique(cell, return_inverse=True)[1], np.unique(stem, return_inverse=True)[1].ravel()
    by_cell = rng.standard_exponential((replicates, cells.max() + 1))[:, np.repeat(cells, stem.shape[1])]
    return by_cell * rng.standard_exponential((replicates, stems.max() + 1))[:, stems]


def _halves(
    samples: OddsSamples, read_again: bool, splits: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """1 for reads of the first half, and of the second, (splits, M) twice: see `likelihood_effects`."""
    several_blocks = np.unique(samples.block).size > 1
    first = second = np.ones((splits, samples.stem.size))
    for key, used in ((samples.block, several_blocks), (samples.cell, read_again or not several_blocks)):
        if used:
            codes = np.repeat(np.unique(key, return_inverse=True)[1], samples.stem.shape[1])
            n = codes.max() + 1
            half = np.stack([rng.permutation(n) < (n + rng.integers(2)) // 2 for _ in range(splits)])[:, codes]
            first, second = first * half, second * ~half
    return first, second


def _prompts_with(has: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """How many prompts of a group have a knock-out, (N), from its reads' (M, N) bool and cells (M)."""
    rows = np.flatnonzero(has.any(axis=1))
    cells, place = np.unique(cell[rows], return_inverse=True)
    found = np.zeros((cells.size, has.shape[1]), bool)
    np.logical_or.at(found, place, has[rows])
    return found.sum(0)


def _effect_rows(samples: OddsSamples, weights: np.ndarray) -> EffectRows:
    """The effects of all heads for each row of weights of reads (R, M)."""
    n_heads = samples.gradient.shape[-1]
    value = samples.log_odds.reshape(-1, 1)  # (M, 1)
    gradient = samples.gradient.reshape(-1, n_heads).astype(float)  # (M, N)
    has, difference = np.zeros(gradient.shape, bool), np.zeros_like(gradient)
    if samples.knockout is not None:
        knockout = samples.knockout.reshape(-1, n_heads)
        has = np.isfinite(knockout)
        difference = np.where(has, knockout - gradient, 0.0)
    per_prompt = samples.stem.shape[1]
    groups = [np.flatnonzero(np.repeat(samples.group == g, per_prompt)) for g in range(len(samples.groups))]
    cells = np.repeat(samples.cell, per_prompt)
    corrected = np.all([_prompts_with(has[rows], cells[rows]) >= MIN_KNOCKOUT_PROMPTS for rows in groups], axis=0)
    of_groups: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # (R), (R, N) twice
    for rows in groups:
        weight = weights[:, rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            n = weight.sum(1, keepdims=True)
            mean = (weight @ value[rows] / n)[:, 0]
            moved = shift = mean[:, None] + weight @ gradient[rows] / n
            if corrected.any():
                exact = rows[has[rows].any(axis=1)]
                correction = weights[:, exact] @ difference[exact] / (weights[:, exact] @ has[exact].astype(float))
                moved = shift + np.where(corrected, correction, 0.0)
            of_groups.append((mean, shift, moved))
    # (R, G), (R, N, G) twice
    means, shifted, combined = (np.stack(parts, -1) for parts in zip(*of_groups, strict=True))
    base = axis_bias(means, samples.shares)[:, None]
    first_order, z = (base - axis_bias(moved, samples.shares) for moved in (shifted, combined))
    return EffectRows(means, first_order, z, corrected, combined - means[:, None, :])
