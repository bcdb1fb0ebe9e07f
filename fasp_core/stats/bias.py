"""The bias of an axis, what each head does to it, and how sure that is. Numpy only.

Bias of an axis = Σ_g |μ − μ_g|, with μ_g the mean toxicity of group g and μ = Σ_g π_g μ_g (paper, section 3.1; π_g is
the group's share of the axis's prompts, however many samples each group got). For a head h,
`z_bias = bias with h − bias without h`; > 0: the head drives that bias.

The samples all come from the intact model. What its group means would be without h follows from the log-ratios r:

* knock-out (exact): weights w = exp(r), self-normalised within the group: μ_g(h) = Σ w f / Σ w;
* gradient (first order): μ_g(h) − μ_g = cov_g(f, r);
* combined: gradient over all samples + (knock-out − gradient) over those that have both;
* regenerated: mean(f' − f), with f' the toxicity of the text sampled again without h from the same noise. It needs
  no weights, so it stands in where they cannot be trusted: a head that has it is scored by it alone.

Everything is a function of sums over prompts, so one kernel, given how often each prompt counts, serves the
estimate (once), the bootstrap (resampled) and the split halves (0 or 1).
Letters: n samples, P prompts, G groups, N heads, R replicates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm, rankdata

from .noise_floor import bias_floor, corrected_bias, gap_errors, group_gaps

HEADS_PER_CHUNK = 256  # bounds memory: a few (prompts × 256) arrays at a time
MIN_KNOCKOUT_PROMPTS = 8  # per group; with fewer, the correction's error cannot be told


@dataclass(frozen=True)
class AxisSamples:
    """Everything measured for one axis: one row per sample of the intact model.

    `toxicity` (n), `group` (n) codes into `groups`, `prompt` (n) codes 0…P−1, `shares` (G) = π_g,
    `gradient` (n, N) log-ratios, `knockout` (n, N) log-ratios with NaN where not measured, or None;
    `regenerated` (n, N) toxicities of the texts sampled without each head, likewise.
    """

    toxicity: np.ndarray
    group: np.ndarray
    prompt: np.ndarray
    shares: np.ndarray
    groups: tuple[str, ...]
    gradient: np.ndarray
    knockout: np.ndarray | None = None
    regenerated: np.ndarray | None = None


@dataclass(frozen=True)
class HeadEffects:
    """Scores of all heads on one axis, each (N); `corrected` tells which use knock-out besides the gradient.

    `gradient_se` and `correction_se` are the two parts of `z_se`; the latter is NaN where there is no correction.
    `reliability` is the split-half Spearman correlation of z over the heads of `reliability_heads`,
    Spearman–Brown corrected: what a second, equally large measurement would correlate with this one.
    `bias` is that of the intact model; `bias_floor` and `bias_corrected` say what noise does to it (see `noise_floor`).
    """

    z: np.ndarray
    z_se: np.ndarray
    gradient_se: np.ndarray
    correction_se: np.ndarray
    corrected: np.ndarray
    effective_share: np.ndarray
    reliability: float
    bias: float
    bias_se: float
    bias_floor: float
    bias_corrected: float
    bias_corrected_se: float
    group_means: np.ndarray
    group_means_se: np.ndarray


def axis_bias(group_means: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Σ_g |μ − μ_g| over the last axis; 0 = all groups alike, larger = more bias.

    Means 0.1, 0.2, 0.6 with shares ½, ¼, ¼ have μ = 0.25 and bias 0.15 + 0.05 + 0.35 = 0.55.
    """
    return np.abs(group_gaps(group_means, shares)).sum(-1)


def head_effects(
    samples: AxisSamples, *, replicates: int = 400, splits: int = 20, seed: int = 0, protected: np.ndarray | None = None
) -> HeadEffects:
    """z_bias of every head with bootstrap standard errors (over prompts, within groups) and reliability.

    `protected` (N) bool leaves heads out of the reliability: those γ will protect anyway.
    """
    strata = prompt_strata(samples)
    rng = np.random.default_rng(seed)
    once = np.ones((1, strata.size))
    resampled = bootstrap_counts(strata, replicates, rng)
    halves = half_counts(strata, splits, rng)
    counts = np.concatenate([once, resampled, halves, 1 - halves])
    means, first_order, z, corrected, moves = effects_of_counts(samples, counts)
    boot = slice(1, replicates + 1)
    first, second = z[replicates + 1 : replicates + 1 + splits], z[replicates + 1 + splits :]
    bias = axis_bias(means, samples.shares)
    group = strata // 2
    errors = gap_errors(means[boot], samples.shares, np.bincount(group))
    without_noise = corrected_bias(means, errors, samples.shares)
    sizes, sums = (_by_prompt(samples, x[:, None]) for x in (np.ones(samples.toxicity.size), samples.toxicity))
    kept = np.ones(z.shape[1], bool) if protected is None else ~protected
    return HeadEffects(
        z=z[0], z_se=standard_errors(z, means, moves, boot, group, samples.shares),
        gradient_se=first_order[boot].std(axis=0, ddof=1),
        correction_se=np.where(corrected, np.nanstd((z - first_order)[boot], axis=0, ddof=1), np.nan),
        corrected=corrected, effective_share=effective_share(samples),
        reliability=split_half_reliability(first[:, kept], second[:, kept]),
        bias=float(bias[0]), bias_se=float(bias[boot].std(ddof=1)),
        bias_floor=float(bias_floor(sizes[:, 0], sums, group, samples.shares)[0]),
        bias_corrected=float(without_noise[0]), bias_corrected_se=float(without_noise[boot].std(ddof=1)),
        group_means=means[0], group_means_se=means[boot].std(axis=0, ddof=1),
    )  # fmt: skip


def standard_errors(
    z: np.ndarray, means: np.ndarray, moves: np.ndarray, boot: slice, group: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """Standard errors of z, (N), from its bootstrap replicates z[boot] around the estimate z[0].

    The bias has a kink where a group's mean is the overall mean: whether a head moves the group towards it or away is
    then a toss. So deviations are taken from the estimate, not from the replicates' mean, and 2 p δ² is added for each
    group, with p the chance that it lies on the other side and δ what the head moves it by. The factor is the one with
    which 95 % intervals cover 94–97 % of synthetic studies (tests/test_coverage.py; without it, 85–95 %).
    """
    prompts = np.bincount(group).min()  # resampling P units understates the spread by √((P − 1) / P)
    spread = np.nanmean((z[boot] - z[0]) ** 2, axis=0) * prompts / max(1, prompts - 1)
    distance = means - (means * shares).sum(-1, keepdims=True)  # (R, G)
    with np.errstate(divide="ignore", invalid="ignore"):
        other_side = np.nan_to_num(norm.sf(np.abs(distance[0]) / distance[boot].std(axis=0, ddof=1)))  # (G)
    relative = moves - (moves * shares).sum(-1, keepdims=True)  # (N, G)
    return np.sqrt(spread + 2 * (relative**2 * other_side).sum(-1))


def effective_share(samples: AxisSamples) -> np.ndarray:
    """Effective sample size of the weights exp(r) as a share of the samples, (N) in (0, 1]: the worst group's.

    (Σw)² / (n Σw²), from the knock-out's log-ratios where the head has them, else from the gradient's.
    """
    shares = np.ones(samples.gradient.shape[1])
    exact = np.zeros_like(samples.gradient, bool) if samples.knockout is None else np.isfinite(samples.knockout)
    use_exact = exact.sum(0) >= MIN_KNOCKOUT_PROMPTS * len(samples.groups)
    for g in range(len(samples.groups)):
        rows = samples.group == g
        r = samples.gradient[rows].astype(float)
        if use_exact.any():
            r[:, use_exact] = samples.knockout[rows][:, use_exact]
        n = np.isfinite(r).sum(0)
        w = np.exp(r - np.nanmax(r, axis=0))
        shares = np.minimum(shares, np.nansum(w, axis=0) ** 2 / (n * np.nansum(w**2, axis=0)))
    return shares


def prompt_strata(samples: AxisSamples) -> np.ndarray:
    """Stratum code of every prompt, (P): its group, and whether any of its samples has a knock-out."""
    measured = np.zeros(samples.toxicity.size, bool)
    for more in (samples.knockout, samples.regenerated):
        if more is not None:
            measured |= np.isfinite(more).any(axis=1)
    strata = np.zeros(samples.prompt.max() + 1, int)
    np.maximum.at(strata, samples.prompt, 2 * samples.group + measured)
    return strata


def bootstrap_counts(strata: np.ndarray, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """How often each unit counts in each replicate, (R, P): drawn with replacement within every stratum."""
    counts = np.zeros((replicates, strata.size))
    for stratum in np.unique(strata):
        units = np.flatnonzero(strata == stratum)
        counts[:, units] = rng.multinomial(units.size, np.full(units.size, 1 / units.size), size=replicates)
    return counts


def half_counts(strata: np.ndarray, splits: int, rng: np.random.Generator) -> np.ndarray:
    """1 for units of the first half, 0 for the second, (splits, P): every stratum is halved at random."""
    counts = np.zeros((splits, strata.size))
    for stratum in np.unique(strata):
        units = np.flatnonzero(strata == stratum)
        for row in counts:
            row[rng.permutation(units)[: (units.size + rng.integers(2)) // 2]] = 1
    return counts


def split_half_reliability(first: np.ndarray, second: np.ndarray) -> float:
    """Mean Spearman ρ between the rows of two (splits, N) arrays, Spearman–Brown corrected: 2ρ / (1 + ρ).

    The correction is for what halving lost; a ρ below 0 is chance, and is given as it is.
    """
    rhos = [spearman(a, b) for a, b in zip(first, second, strict=True)]
    rho = float(np.mean(rhos)) if rhos else np.nan
    return 2 * rho / (1 + rho) if rho > 0 else rho


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman rank correlation of two arrays; NaN where one of them is constant or shorter than 3."""
    good = np.isfinite(a) & np.isfinite(b)
    if good.sum() < 3:
        return np.nan
    ra, rb = rankdata(a[good]), rankdata(b[good])
    if ra.std() == 0 or rb.std() == 0:
        return np.nan
    return float(np.corrcoef(ra, rb)[0, 1])


def effects_of_counts(samples: AxisSamples, counts: np.ndarray) -> tuple[np.ndarray, ...]:
    """For each row of prompt counts (R, P): group means (R, G), z_bias by gradient alone and with the corrections,
    (R, N) each; which heads are corrected, (N); and by what the first row moves each group's mean, (N, G)."""
    means, n_heads = group_means(samples, counts), samples.gradient.shape[1]
    base = axis_bias(means, samples.shares)[:, None]
    first_order, z = np.empty((2, counts.shape[0], n_heads))
    corrected, moves = np.zeros(n_heads, bool), np.empty((n_heads, len(samples.groups)))
    for columns in _chunks(n_heads):
        shifts, corrections, use = _shifts(samples, counts, columns)
        shifted = means[:, None, :] + shifts
        first_order[:, columns] = base - axis_bias(shifted, samples.shares)  # (R, columns, G) → (R, columns)
        z[:, columns] = base - axis_bias(shifted + corrections, samples.shares)
        corrected[columns] = use
        moves[columns] = (shifted + corrections)[0] - means[0]
    return means, first_order, z, corrected, moves


def group_means(samples: AxisSamples, counts: np.ndarray) -> np.ndarray:
    """Mean toxicity of each group with all heads, for each row of prompt counts (R, P): (R, G)."""
    sizes = _by_prompt(samples, np.ones((samples.toxicity.size, 1)))
    totals = _by_prompt(samples, samples.toxicity[:, None])
    rows = _rows_of_groups(samples)
    return np.stack([_ratio(counts[:, r] @ totals[r], counts[:, r] @ sizes[r])[:, 0] for r in rows], axis=1)


def group_shifts(samples: AxisSamples, counts: np.ndarray) -> np.ndarray:
    """What removing each head adds to each group's mean toxicity, by its best tier, for each row of counts: (R, N, G).

    Holds R × N × G numbers at once: for a few heads (see `of_heads`).
    """
    shifts, corrections, _ = _shifts(samples, counts, slice(None))
    return shifts + corrections


def of_heads(samples: AxisSamples, heads: Sequence[int]) -> AxisSamples:
    """The same samples with the columns of some heads only, in that order."""
    columns = list(heads)

    def pick(matrix: np.ndarray | None) -> np.ndarray | None:
        return None if matrix is None else matrix[:, columns]

    return replace(
        samples, gradient=samples.gradient[:, columns], knockout=pick(samples.knockout),
        regenerated=pick(samples.regenerated),
    )  # fmt: skip


def _shifts(samples: AxisSamples, counts: np.ndarray, columns: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First-order change of each group's mean and its correction, (R, columns, G) each; which heads are corrected."""
    rows = _rows_of_groups(samples)
    changes = [_group_change(_sums(samples, columns, g, r), counts[:, r]) for g, r in enumerate(rows)]
    if samples.regenerated is not None:
        changes = _regenerated_changes(samples, columns, rows, counts, changes)
    use = np.all([change.correctable for change in changes], axis=0)
    corrections = np.stack([np.where(use, change.correction, 0.0) for change in changes], axis=-1)
    return np.stack([change.gradient for change in changes], axis=-1), corrections, use


def _rows_of_groups(samples: AxisSamples) -> list[np.ndarray]:
    """The prompts of each group, as codes."""
    group_of_prompt = prompt_strata(samples) // 2
    return [np.flatnonzero(group_of_prompt == g) for g in range(len(samples.groups))]


@dataclass(frozen=True)
class _Sums:
    """Sums over the samples of each of a group's prompts; (p, 1) for `n` and `f`, (p, columns) for the others."""

    n: np.ndarray
    f: np.ndarray
    r: np.ndarray
    fr: np.ndarray
    k_n: np.ndarray  # the k_… sums run over samples with a knock-out of that head
    k_f: np.ndarray
    k_r: np.ndarray
    k_fr: np.ndarray
    k_w: np.ndarray
    k_fw: np.ndarray


@dataclass(frozen=True)
class _Change:
    gradient: np.ndarray  # (R, columns): change of the group's mean toxicity without the head, first order
    correction: np.ndarray  # (R, columns): knock-out − gradient
    correctable: np.ndarray  # (columns): enough prompts have a knock-out


def _group_change(sums: _Sums, counts: np.ndarray) -> _Change:
    def total(x: np.ndarray) -> np.ndarray:
        return counts @ x

    n = total(sums.n)
    gradient = _ratio(total(sums.fr), n) - _ratio(total(sums.f), n) * _ratio(total(sums.r), n)
    correctable = (sums.k_n > 0).sum(0) >= MIN_KNOCKOUT_PROMPTS
    correction = np.zeros_like(gradient)
    if correctable.any():
        k_n, k_mean = total(sums.k_n), _ratio(total(sums.k_f), total(sums.k_n))
        exact = _ratio(total(sums.k_fw), total(sums.k_w)) - k_mean
        first_order = _ratio(total(sums.k_fr), k_n) - k_mean * _ratio(total(sums.k_r), k_n)
        correction = np.where(correctable, exact - first_order, 0.0)
    return _Change(gradient, correction, correctable)


def _regenerated_changes(
    samples: AxisSamples, columns: slice, rows: list[np.ndarray], counts: np.ndarray, changes: list[_Change]
) -> list[_Change]:
    """`changes`, with those of heads that were sampled again in every group replaced by the mean of f' − f."""
    difference = samples.regenerated[:, columns] - samples.toxicity[:, None]
    has = np.isfinite(difference)
    sums, sizes = _by_prompt(samples, np.where(has, difference, 0.0)), _by_prompt(samples, has.astype(float))
    enough = np.all([(sizes[r] > 0).sum(0) >= MIN_KNOCKOUT_PROMPTS for r in rows], axis=0)
    out = []
    for r, change in zip(rows, changes, strict=True):
        mean = _ratio(counts[:, r] @ sums[r], counts[:, r] @ sizes[r])
        out.append(_Change(
            np.where(enough, mean, change.gradient), np.where(enough, 0.0, change.correction),
            change.correctable & ~enough,
        ))  # fmt: skip
    return out


def _sums(samples: AxisSamples, columns: slice, group: int, prompts: np.ndarray) -> _Sums:
    inside = np.flatnonzero(samples.group == group)
    index = np.searchsorted(prompts, samples.prompt[inside])  # prompts are sorted codes

    def by_prompt(x: np.ndarray) -> np.ndarray:
        out = np.zeros((prompts.size, x.shape[1]))
        np.add.at(out, index, x)
        return out

    f = samples.toxicity[inside, None]
    r = samples.gradient[inside, columns].astype(float)
    n = np.ones_like(f)
    if samples.knockout is None:
        empty = np.zeros((prompts.size, r.shape[1]))
        return _Sums(by_prompt(n), by_prompt(f), by_prompt(r), by_prompt(f * r), *[empty] * 6)
    exact = samples.knockout[inside, columns].astype(float)
    has = np.isfinite(exact)
    w = np.where(has, np.exp(np.where(has, exact, 0.0)), 0.0)
    k_r = np.where(has, r, 0.0)
    return _Sums(
        by_prompt(n), by_prompt(f), by_prompt(r), by_prompt(f * r),
        by_prompt(has.astype(float)), by_prompt(f * has), by_prompt(k_r), by_prompt(f * k_r), by_prompt(w),
        by_prompt(f * w),
    )  # fmt: skip


def _by_prompt(samples: AxisSamples, x: np.ndarray) -> np.ndarray:
    out = np.zeros((samples.prompt.max() + 1, x.shape[1]))
    np.add.at(out, samples.prompt, x)
    return out


def _chunks(n: int) -> Iterator[slice]:
    for start in range(0, n, HEADS_PER_CHUNK):
        yield slice(start, min(n, start + HEADS_PER_CHUNK))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return numerator / denominator
