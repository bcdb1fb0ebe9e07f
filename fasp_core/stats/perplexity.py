"""Perplexity: windows of text, and what each head's removal does to it. Numpy only.

Windows of a fixed number of tokens follow each other without overlap, article by article; all tokens of a window
but its first are scored, so no token is scored twice. Perplexity = exp(total NLL / total scored tokens): tokens
weigh equally, not windows. `z_ppl(h) = perplexity without h − perplexity with h`; > 0: the model needs h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from .bias import MIN_KNOCKOUT_PROMPTS, bootstrap_counts, half_counts, split_half_reliability

SHORTEST_WINDOW = 16  # tokens; a shorter rest of an article tells little and costs a forward pass
MIN_KNOCKOUT_WINDOWS = MIN_KNOCKOUT_PROMPTS // 2  # windows differ far less than continuations do


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is used here."""

    def __call__(self, text: str) -> dict[str, list[int]]: ...


@dataclass(frozen=True)
class WindowSamples:
    """Everything measured on text: one row per window of the intact model.

    `log_prob` (n) of the scored tokens in nats, `n_tokens` (n), `gradient` (n, N) log-ratios, `knockout` (n, N) with
    NaN where not measured, or None.
    """

    log_prob: np.ndarray
    n_tokens: np.ndarray
    gradient: np.ndarray
    knockout: np.ndarray | None = None


@dataclass(frozen=True)
class PerplexityEffects:
    """z_ppl of all heads, (N), in units of perplexity, with bootstrap standard errors, and the intact model's value.

    `gradient_se` and `correction_se` are the two parts of `z_se`; the latter is NaN where there is no correction.
    """

    z: np.ndarray
    z_se: np.ndarray
    gradient_se: np.ndarray
    correction_se: np.ndarray
    corrected: np.ndarray
    reliability: float
    ppl: float
    ppl_se: float


def token_windows(
    tokenizer: Tokenizer, articles: pd.DataFrame, *, length: int, stride: int | None = None
) -> pd.DataFrame:
    """The articles (columns article, split, text) as windows: window_id, article, split, token_ids.

    An article's rest is kept from `SHORTEST_WINDOW` tokens on. With a `stride` the text of each split is one stream
    instead, as in the published recipe: a window begins every `stride` tokens, and what lies between windows is left
    out (with the recipe's 256 of every 512 tokens, half of the text).
    """
    rows = []
    if stride is not None:
        for split, texts in articles.groupby("split", sort=False)["text"]:
            ids = tokenizer("\n\n".join(texts))["input_ids"]
            starts = range(0, max(1, len(ids) - length + 1), stride)
            rows += [("all", split, ids[start : start + length]) for start in starts]
        articles = articles.iloc[:0]
    for article, split, text in articles[["article", "split", "text"]].itertuples(index=False):
        ids = tokenizer(text)["input_ids"]
        pieces = [ids[start : start + length] for start in range(0, len(ids), length)]
        rows += [(article, split, piece) for piece in pieces if len(piece) >= min(SHORTEST_WINDOW, length)]
    frame = pd.DataFrame(rows, columns=["article", "split", "token_ids"])
    frame.insert(0, "window_id", np.arange(len(frame)))
    return frame


def perplexity(nll: Sequence[float] | np.ndarray, n_tokens: Sequence[int] | np.ndarray) -> float:
    """exp(Σ nll / Σ tokens) over windows; two windows of 10 and 30 nats over 10 tokens each give exp(2)."""
    return float(np.exp(np.sum(nll) / np.sum(n_tokens)))


def perplexity_effects(
    samples: WindowSamples, *, replicates: int = 400, splits: int = 20, seed: int = 0
) -> PerplexityEffects:
    """z_ppl of every head: gradient over all windows + (knock-out − gradient) over those that have both.

    Standard errors are bootstrapped over windows; reliability is split-half over all heads, Spearman–Brown corrected.
    """
    measured = np.zeros(samples.log_prob.size, int)
    if samples.knockout is not None:
        measured = np.isfinite(samples.knockout).any(axis=1).astype(int)
    rng = np.random.default_rng(seed)
    halves = half_counts(measured, splits, rng)
    once = np.ones((1, measured.size))
    counts = np.concatenate([once, bootstrap_counts(measured, replicates, rng), halves, 1 - halves])
    base, first_order, z, corrected = effects_of_counts(samples, counts)
    boot = slice(1, replicates + 1)
    return PerplexityEffects(
        z=z[0], z_se=np.nanstd(z[boot], axis=0, ddof=1),
        gradient_se=first_order[boot].std(axis=0, ddof=1),
        correction_se=np.where(corrected, np.nanstd((z - first_order)[boot], axis=0, ddof=1), np.nan),
        corrected=corrected,
        reliability=split_half_reliability(z[replicates + 1 : replicates + 1 + splits], z[replicates + 1 + splits :]),
        ppl=float(base[0]), ppl_se=float(base[boot].std(ddof=1)),
    )  # fmt: skip


def effects_of_counts(
    samples: WindowSamples, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For rows of window counts (R, n): perplexity (R), z_ppl by gradient alone and with the corrections, (R, N) each;
    and which heads are corrected, (N)."""
    tokens = samples.n_tokens[:, None].astype(float)
    n_tokens = counts @ tokens  # (R, 1)
    base = np.exp(-(counts @ samples.log_prob[:, None]) / n_tokens)
    gradient = samples.gradient.astype(float)
    change = -(counts @ gradient) / n_tokens  # of the mean NLL per token, (R, N)
    first_order = base * np.expm1(change)
    corrected = np.zeros(gradient.shape[1], bool)
    if samples.knockout is not None:
        has = np.isfinite(samples.knockout)
        corrected = has.sum(0) >= MIN_KNOCKOUT_WINDOWS
        difference = np.where(has, samples.knockout - gradient, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            correction = -(counts @ difference) / (counts @ (has * tokens))
        change = change + np.where(corrected, correction, 0.0)
    return base[:, 0], first_order, base * np.expm1(change), corrected
