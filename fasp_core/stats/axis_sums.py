"""What was measured on the samples of one axis, and its sums over each prompt: all that the effects of heads need.

A prompt is the unit that is resampled, and every estimate of `bias` is a ratio of sums over prompts. So samples are
summed up once; sums that were stored in place of samples serve as well.
Letters: n samples, P prompts, G groups, N heads; f a sample's toxicity, r the log-ratio of its probability without a
head, w = exp(r) its importance weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np

HEADS_PER_CHUNK = 256  # bounds memory: a few (prompts × 256) arrays at a time
MIN_KNOCKOUT_PROMPTS = 8  # per group; with fewer, the correction's error cannot be told
# What the kink of the bias adds to errors, by estimator: with these, 95 % intervals cover the truth in 93–97 % of
# synthetic studies (tests/stats/test_bias_coverage.py, tests/stats/test_advantage_coverage.py).
RATIOS_KINK, CONTRIBUTIONS_KINK = 2.0, 0.5


@dataclass(frozen=True)
class AxisSamples:
    """Everything measured for one axis: one row per sample of the intact model.

    `toxicity` (n), `group` (n) codes into `groups`, `prompt` (n) codes 0…P−1, `shares` (G) = π_g,
    `gradient` (n, N) log-ratios in nats, `knockout` (n, N) exact ones with NaN where not measured, or None;
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

    def first(self, n: int) -> AxisSamples:
        """The first `n` samples, whose prompts get new codes."""

        def some(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[:n]

        return replace(
            self,
            toxicity=self.toxicity[:n],
            group=self.group[:n],
            prompt=np.unique(self.prompt[:n], return_inverse=True)[1],
            gradient=self.gradient[:n],
            knockout=some(self.knockout),
            regenerated=some(self.regenerated),
        )


@dataclass(frozen=True)
class KnockoutSums:
    """Sums over each prompt's samples that have a knock-out of the head, (P, N); `r` and `fr` are the gradient's."""

    n: np.ndarray
    f: np.ndarray
    r: np.ndarray
    fr: np.ndarray
    w: np.ndarray
    fw: np.ndarray


@dataclass(frozen=True)
class RegeneratedSums:
    """Sums over each prompt's texts that were sampled again without the head, (P, N); `change` is of f' − f."""

    n: np.ndarray
    change: np.ndarray


Sums = TypeVar("Sums", KnockoutSums, RegeneratedSums)


@dataclass(frozen=True)
class AxisSums:
    """Sums over the samples of each prompt of one axis.

    `group` (P) codes into `groups`, `shares` (G) = π_g; `measured` (P) bool says which prompts have a knock-out or a
    text sampled again, of any head: they are resampled among themselves. `n` and `f` (P), `r` and `fr` (P, N), r by
    gradient; `effective_share` (N), see the function of that name; `kink`, see `bias.standard_errors`.
    """

    group: np.ndarray
    measured: np.ndarray
    shares: np.ndarray
    groups: tuple[str, ...]
    n: np.ndarray
    f: np.ndarray
    r: np.ndarray
    fr: np.ndarray
    effective_share: np.ndarray
    knockout: KnockoutSums | None = None
    regenerated: RegeneratedSums | None = None
    kink: float = RATIOS_KINK

    @classmethod
    def of(cls, samples: AxisSamples) -> AxisSums:
        """Sum up samples. A prompt with f = 0 and 1, r = 0.2 and 0.4 has n = 2, f = 1, r = 0.6, fr = 0.4."""
        f = samples.toxicity
        group = np.zeros(samples.prompt.max() + 1, int)
        np.maximum.at(group, samples.prompt, samples.group)
        measured = np.zeros(group.size, bool)
        for more in (samples.knockout, samples.regenerated):
            if more is not None:
                np.logical_or.at(measured, samples.prompt, np.isfinite(more).any(axis=1))

        def terms(heads: slice) -> tuple[np.ndarray, ...]:
            r = samples.gradient[:, heads].astype(float)
            return r, f[:, None] * r

        r, fr = _by_head(samples, terms)
        return cls(
            group=group,
            measured=measured,
            shares=samples.shares,
            groups=samples.groups,
            n=_by_prompt(samples, np.ones_like(f)),
            f=_by_prompt(samples, f),
            r=r,
            fr=fr,
            effective_share=effective_share(samples),
            knockout=None if samples.knockout is None else _knockout_sums(samples, samples.knockout),
            regenerated=None if samples.regenerated is None else _regenerated_sums(samples, samples.regenerated),
        )

    @property
    def strata(self) -> np.ndarray:
        """Prompts of the same code, (P), stand for each other when prompts are resampled: group × measured."""
        return 2 * self.group + self.measured

    def of_heads(self, heads: Sequence[int] | slice) -> AxisSums:
        """The same sums with the columns of some heads only, in that order."""
        columns = heads if isinstance(heads, slice) else list(heads)
        return replace(
            self,
            r=self.r[:, columns],
            fr=self.fr[:, columns],
            effective_share=self.effective_share[columns],
            knockout=_columns(self.knockout, columns),
            regenerated=_columns(self.regenerated, columns),
        )

    def with_exact(self, measured: AxisSums, rows: np.ndarray) -> AxisSums:
        """These sums, with the knock-outs, texts sampled again and effective sample sizes of some of their samples.

        `measured` are the sums of those samples, `rows` their prompts among these. What a knock-out corrects is the
        first order of its own samples, so both may come from different first orders of the same quantity.
        """
        flags = np.zeros_like(self.measured)
        flags[rows] = measured.measured
        return replace(
            self,
            measured=flags,
            effective_share=measured.effective_share,
            knockout=_at_prompts(measured.knockout, rows, self.group.size),
            regenerated=_at_prompts(measured.regenerated, rows, self.group.size),
        )


def effective_share(samples: AxisSamples) -> np.ndarray:
    """Effective sample size of the weights exp(r) as a share of the samples, (N) in (0, 1]: the worst group's.

    (Σw)² / (n Σw²), from the knock-out's log-ratios where the head has them, else from the gradient's. Weights 1 and 3
    of two samples give 16 / (2 · 10) = 0.8.
    """
    shares = np.ones(samples.gradient.shape[1])
    exact = np.zeros_like(samples.gradient, bool) if samples.knockout is None else np.isfinite(samples.knockout)
    use_exact = exact.sum(0) >= MIN_KNOCKOUT_PROMPTS * len(samples.groups)
    for g in range(len(samples.groups)):
        rows = samples.group == g
        r = samples.gradient[rows].astype(float)
        if samples.knockout is not None:
            r[:, use_exact] = samples.knockout[rows][:, use_exact]
        n = np.isfinite(r).sum(0)
        w = np.exp(r - np.nanmax(r, axis=0))
        shares = np.minimum(shares, np.nansum(w, axis=0) ** 2 / (n * np.nansum(w**2, axis=0)))
    return shares


def head_chunks(n_heads: int) -> Iterator[slice]:
    """Flat ids in chunks that bound memory."""
    for start in range(0, n_heads, HEADS_PER_CHUNK):
        yield slice(start, min(n_heads, start + HEADS_PER_CHUNK))


def _knockout_sums(samples: AxisSamples, knockout: np.ndarray) -> KnockoutSums:
    f = samples.toxicity[:, None]

    def terms(heads: slice) -> tuple[np.ndarray, ...]:
        exact = knockout[:, heads].astype(float)
        has = np.isfinite(exact)
        w = np.where(has, np.exp(np.where(has, exact, 0.0)), 0.0)
        r = np.where(has, samples.gradient[:, heads].astype(float), 0.0)
        return has.astype(float), f * has, r, f * r, w, f * w

    return KnockoutSums(*_by_head(samples, terms))


def _regenerated_sums(samples: AxisSamples, regenerated: np.ndarray) -> RegeneratedSums:
    def terms(heads: slice) -> tuple[np.ndarray, ...]:
        change = regenerated[:, heads] - samples.toxicity[:, None]
        has = np.isfinite(change)
        return has.astype(float), np.where(has, change, 0.0)

    return RegeneratedSums(*_by_head(samples, terms))


def _by_head(samples: AxisSamples, terms: Callable[[slice], tuple[np.ndarray, ...]]) -> list[np.ndarray]:
    """The `terms` of all heads, each (n, heads), summed over the samples of each prompt: (P, N) each."""
    chunks = [[_by_prompt(samples, term) for term in terms(heads)] for heads in head_chunks(samples.gradient.shape[1])]
    return [np.concatenate(parts, axis=1) for parts in zip(*chunks, strict=True)]


def _by_prompt(samples: AxisSamples, x: np.ndarray) -> np.ndarray:
    """Sums of x (n, …) over the samples of each prompt, (P, …)."""
    out = np.zeros((samples.prompt.max() + 1, *x.shape[1:]))
    np.add.at(out, samples.prompt, x)
    return out


def _columns(sums: Sums | None, columns: list[int] | slice) -> Sums | None:
    if sums is None:
        return None
    return type(sums)(*(getattr(sums, field.name)[:, columns] for field in fields(sums)))


def _at_prompts(sums: Sums | None, rows: np.ndarray, prompts: int) -> Sums | None:
    """The sums in the places `rows` among so many prompts, 0 elsewhere."""
    if sums is None:
        return None
    placed = []
    for field in fields(sums):
        values = getattr(sums, field.name)
        placed.append(np.zeros((prompts, values.shape[1])))
        placed[-1][rows] = values
    return type(sums)(*placed)
