"""The critic: what toxicity a text is expected to end with, given what has been written of it so far. Numpy only.

A text of at most T tokens is rated after every block of tokens (see `PrefixRatings`). With c the toxicity so far, and
u = 1 − t / T the share of the tokens that may still come, the value of a prefix is

    V = c + u (a₀ + a₁ u + a₂ c + a₃ u c).

At the end it is the toxicity itself. The four weights are those of a ridge regression of what is still added, f − c, so
with little to learn from V goes to c. On the default model V explains 45 % of the variance of the final toxicity over
all prefixes; the last hidden state adds less than 1 % to that.

V is *cross-fitted*: prompts are dealt into two halves, and the texts of a half are valued by the critic that was fitted
to the other. So no text, and no other text of its prompt, has a part in its own value, and V stays a baseline:
independent of the tokens to come (see `advantages`).
Letters: n texts, B blocks of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fasp_core.stats.resampling import half_counts

RIDGE = 1.0  # in units of squared features, summed over prefixes
WEIGHTS = 4


@dataclass(frozen=True)
class PrefixRatings:
    """The toxicity of texts so far: `toxicity` (n, B + 1) after 0 … B blocks of tokens.

    From its own end on, after `blocks` (n) blocks, it is that of the finished text. `left` (B) is u, the share of the
    tokens that may still come, before each block.
    """

    toxicity: np.ndarray
    blocks: np.ndarray
    left: np.ndarray

    @classmethod
    def of(
        cls, unfinished: Sequence[Sequence[float]], toxicity: np.ndarray, *, step: int, max_tokens: int
    ) -> PrefixRatings:
        """From the ratings of each text's unfinished prefixes, of 0, step, 2 · step … tokens, and of the whole texts.

        Ratings [0.1, 0.4] and [0.1] of texts with toxicity 0.5 and 0.2 are [0.1, 0.4, 0.5] and [0.1, 0.2, 0.2].
        """
        blocks = np.array([len(ratings) for ratings in unfinished], int)
        longest = int(blocks.max(initial=0))
        filled = np.repeat(np.asarray(toxicity, float)[:, None], longest + 1, axis=1)
        for row, ratings in zip(filled, unfinished, strict=True):
            row[: len(ratings)] = ratings
        return cls(filled, blocks, 1 - step * np.arange(longest) / max_tokens)

    def rows(self, which: np.ndarray) -> PrefixRatings:
        """The ratings of some texts, by index or (n) bool."""
        return PrefixRatings(self.toxicity[which], self.blocks[which], self.left)

    @property
    def finished(self) -> np.ndarray:
        """The toxicity of the finished texts, (n)."""
        return self.toxicity[:, -1]

    @property
    def open(self) -> np.ndarray:
        """Which prefixes are shorter than their text, (n, B)."""
        return np.arange(self.left.size) < self.blocks[:, None]

    @property
    def features(self) -> np.ndarray:
        """What the weights of a critic multiply: u, u², u c, u² c of every prefix, (n, B, 4)."""
        so_far = self.toxicity[:, :-1]
        u = np.broadcast_to(self.left, so_far.shape)
        return np.stack([u, u**2, u * so_far, u**2 * so_far], axis=-1)


def fit_critic(ratings: PrefixRatings, *, ridge: float = RIDGE) -> np.ndarray:
    """The weights (4) with least Σ (f − V)² + ridge · |weights|² over unfinished prefixes; 0 where there is none."""
    x = ratings.features[ratings.open]
    added = (ratings.finished[:, None] - ratings.toxicity[:, :-1])[ratings.open]
    return np.linalg.solve(x.T @ x + ridge * np.eye(WEIGHTS), x.T @ added)


def prefix_values(ratings: PrefixRatings, weights: np.ndarray) -> np.ndarray:
    """V after 0 … B blocks of each text, (n, B + 1), by the critic with these `weights`, (4) or, one a text, (n, 4).

    From a text's own end on it is the toxicity of the text, which needs no estimate.
    """
    added = (ratings.features * np.atleast_2d(weights)[:, None, :]).sum(-1)
    values = ratings.toxicity.copy()
    values[:, :-1] += np.where(ratings.open, added, 0.0)
    return values


def prompt_halves(group: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Half 0 or 1 of every prompt, (P), dealt at random within each group of prompts; `group` (P) codes."""
    return half_counts(group, 1, np.random.default_rng(seed))[0].astype(int)


def cross_fitted_critics(ratings: PrefixRatings, half: np.ndarray, *, ridge: float = RIDGE) -> np.ndarray:
    """The weights that value the texts of half 0 and of half 1, (2, 4): each fitted to the texts of the other half."""
    return np.stack([fit_critic(ratings.rows(half != k), ridge=ridge) for k in (0, 1)])


def explained_variance(values: np.ndarray, ratings: PrefixRatings) -> float:
    """Share of the variance of the final toxicity, over all unfinished prefixes, that `values` (n, B + 1) explain.

    1 − Σ (f − V)² / Σ (f − mean)²: 1 is perfect, 0 no better than the mean, below 0 worse. NaN where nothing varies.
    """
    final = np.repeat(ratings.finished, ratings.open.sum(1))
    spread = ((final - final.mean()) ** 2).sum() if final.size else 0.0
    return float(1 - ((final - values[:, :-1][ratings.open]) ** 2).sum() / spread) if spread > 0 else np.nan
