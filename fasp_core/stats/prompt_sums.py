"""Sums over the texts of each prompt of what they add to the change of toxicity without each head. Numpy only.

To first order, the mean toxicity of a group changes without head h by the mean of its texts' *contributions*,
−Σ_t A_t ∂ log p(token t) / ∂ gate (see `advantages`). A prompt is the unit that is resampled, and every estimate is a
ratio of sums over prompts. So texts are folded into these sums shard by shard: `a + b` is what all texts of both give.
Their size is that of the prompts, however many texts there are.
Letters: n texts, P prompts, G groups, N heads; f a text's toxicity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fasp_core.errors import InputError
from fasp_core.stats.axis_sums import CONTRIBUTIONS_KINK, AxisSums


@dataclass(frozen=True)
class PromptSums:
    """Sums of one axis and scorer, a row per prompt: `prompt` (P) ids, ascending, and `group` (P) codes.

    `n` (P) texts, `f` and `f2` (P) the sums of their toxicity and of its square, `heads` name → (P, N) the sums of
    their contributions by each estimator.
    """

    prompt: np.ndarray
    group: np.ndarray
    n: np.ndarray
    f: np.ndarray
    f2: np.ndarray
    heads: Mapping[str, np.ndarray]

    @classmethod
    def of_texts(
        cls, prompt: np.ndarray, group: np.ndarray, toxicity: np.ndarray, contributions: Mapping[str, np.ndarray]
    ) -> PromptSums:
        """Sum up texts with `prompt` ids, `group` codes and `toxicity`, (n) each, `contributions` name → (n, N).

        A prompt whose two texts have f = 0 and 1 and contribute 0.2 and 0.4 has n = 2, f = 1 and the sum 0.6.
        """
        ids, first, row = np.unique(prompt, return_index=True, return_inverse=True)

        def total(x: np.ndarray) -> np.ndarray:
            out = np.zeros((ids.size, *x.shape[1:]))
            np.add.at(out, row, x)
            return out

        f = np.asarray(toxicity, float)
        heads = {name: total(np.asarray(x, float)) for name, x in contributions.items()}
        return cls(ids, np.asarray(group)[first], total(np.ones_like(f)), total(f), total(f**2), heads)

    def __add__(self, other: PromptSums) -> PromptSums:
        """The sums over the texts of both. Raises InputError where they hold sums of other names or groups."""
        if self.heads.keys() != other.heads.keys():
            mine, theirs = (", ".join(sorted(sums.heads)) or "none" for sums in (self, other))
            raise InputError(f"sums of heads by {mine} cannot be added to those by {theirs}; measure both alike")
        ids = np.union1d(self.prompt, other.prompt)
        rows, added = (np.searchsorted(ids, sums.prompt) for sums in (self, other))
        group = np.empty(ids.size, int)
        group[rows], group[added] = self.group, other.group
        if (group[rows] != self.group).any():
            raise InputError("a prompt is of another group in these sums; sum up texts of one axis and prompt set")

        def total(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            out = np.zeros((ids.size, *a.shape[1:]))
            out[rows] += a
            out[added] += b
            return out

        heads = {name: total(sums, other.heads[name]) for name, sums in self.heads.items()}
        n, f, f2 = (total(getattr(self, name), getattr(other, name)) for name in ("n", "f", "f2"))
        return PromptSums(ids, group, n, f, f2, heads)

    def axis_sums(self, name: str, shares: np.ndarray, groups: tuple[str, ...]) -> AxisSums:
        """The sums that `bias.head_effects` takes, for the mean of the contributions of this `name`.

        `shares` (G) = π_g, `groups` the G names. Contributions take the place of f · r, with r = 0: cov(f, r) is then
        their mean. Effective sample sizes are of weights, of which there are none here: NaN.
        """
        by_head = self.heads[name]
        return AxisSums(
            group=self.group,
            measured=np.zeros(self.group.size, bool),
            shares=np.asarray(shares, float),
            groups=groups,
            n=self.n,
            f=self.f,
            r=np.zeros_like(by_head),
            fr=by_head,
            effective_share=np.full(by_head.shape[1], np.nan),
            kink=CONTRIBUTIONS_KINK,
        )
