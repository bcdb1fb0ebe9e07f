"""`fasp_joint`: the heads to prune are chosen as one set, by the bias that the pruned model is expected to have.

FASP adds heads up one by one, but a bias is a sum of *absolute* gaps: heads that each close a gap overshoot together,
and the higher a noisy score the more of it is luck. `joint_target` says what a set is expected to leave; the search
here finds the set: greedy, then improved by exchanges, removals and additions until none helps. Absolute values have
kinks where every single exchange makes things worse though two together would not, so the search first goes over a
smoothed target, its gaps blurred, and less and less so. Where there are few sets it looks at all of them. Equal sets go
to the lowest flat ids. The set may be smaller than it is allowed to be, and says why.
Letters: N heads of the model, C candidates, S heads of a set, G groups. Numpy only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from fasp_core.errors import InputError
from fasp_core.selection.joint_target import Target

FEW_SETS = 20_000  # as many as this are all looked at
BLURS = (1.0, 0.3, 0.1, 0.0)  # standard deviations added to the gaps, in units of their mean size
ROUNDING = 1e-9  # of what the intact model has; a smaller gain is none


@dataclass(frozen=True, eq=False)
class JointChoice:
    """The chosen heads (flat ids, sorted), the bias expected before and after, and `why` so many.

    `value` and `error` (G) are the posterior mean and standard deviation of each gap without the heads; `ppl_rise` the
    sum of the heads' z_ppl, None where no z_ppl was given.
    """

    heads: tuple[int, ...]
    before: float
    after: float
    value: np.ndarray
    error: np.ndarray
    ppl_rise: float | None
    why: str


def choose_jointly(
    target: Target,
    free: np.ndarray,
    count: int,
    *,
    exactly: bool = False,
    z_ppl: np.ndarray | None = None,
    most_ppl_rise: float | None = None,
) -> JointChoice:
    """The set of at most (or `exactly`) `count` of the heads `free` (N) bool that leaves the least of the target.

    `most_ppl_rise` bounds the set's Σ z_ppl (N), in units of perplexity. Raises InputError for a count that the free
    heads do not allow, a bound below 0 or without z_ppl, and one that no set of exactly `count` heads keeps.
    """
    if not 0 <= count <= free.sum():
        raise InputError(f"{count} heads cannot be chosen of {int(free.sum())} unprotected ones; lower alpha or gamma")
    if most_ppl_rise is not None and not most_ppl_rise >= 0:
        raise InputError(f"the bound on the rise of perplexity must be at least 0, not {most_ppl_rise}")
    if most_ppl_rise is not None and (z_ppl is None or np.isnan(z_ppl[free]).any()):
        raise InputError("a bound on perplexity needs z_ppl of every unprotected head; score with this program")
    search = _Search(target, np.flatnonzero(free), count, exactly, z_ppl, most_ppl_rise)
    chosen = search.best()
    mean = target.value + target.effect[chosen].sum(0)
    error = np.sqrt(target.variance + target.effect_variance[chosen].sum(0))
    none = np.empty(0, int)
    return JointChoice(
        heads=tuple(sorted(chosen.tolist())),
        before=target.left(none),
        after=target.left(chosen),
        value=mean,
        error=error,
        ppl_rise=None if z_ppl is None else float(z_ppl[chosen].sum()),
        why=search.why(chosen),
    )


class _Search:
    """Looks for the best set; inside it, heads are places among the C candidates."""

    def __init__(
        self,
        target: Target,
        candidates: np.ndarray,
        count: int,
        exactly: bool,
        z_ppl: np.ndarray | None,
        bound: float | None,
    ) -> None:
        self.target, self.ids, self.count, self.exactly = target, candidates, count, exactly
        self.effect, self.variance = target.effect[candidates], target.effect_variance[candidates]  # (C, G)
        self.cost = np.zeros(candidates.size) if bound is None or z_ppl is None else z_ppl[candidates]
        self.bound = np.inf if bound is None else bound
        self.blur = 0.0
        self.gain = ROUNDING * max(abs(target.left(np.empty(0, int))), np.finfo(float).tiny)
        if exactly and np.sort(self.cost)[:count].sum() > self.bound:
            raise InputError(
                f"no {count} heads keep the rise of perplexity within {self.bound:g}; raise the bound, lower alpha, or "
                "allow fewer heads"
            )

    def best(self) -> np.ndarray:
        """Flat ids of the best set found, sorted."""
        sizes = [self.count] if self.exactly else range(self.count + 1)
        few = sum(comb(self.ids.size, size) for size in sizes) <= FEW_SETS
        if few:
            return self.ids[self._of_all(sizes)]
        places = np.empty(0, int)
        for blur in BLURS:
            self.blur = (blur * np.abs(self.target.value).mean()) ** 2
            places = self._settled(self._filled(places))
        return self.ids[np.sort(places)]

    def why(self, chosen: np.ndarray) -> str:
        """One sentence on how many heads were chosen."""
        if chosen.size == self.count:
            return f"{self.count} heads, as many as asked for"
        many = f"{chosen.size} of at most {self.count} heads: "
        if not chosen.size and not self.target.value.any():
            return f"{many}no gap between groups stands out from its error"
        places = np.flatnonzero(np.isin(self.ids, chosen))
        added = self._additions(places, bounded=False)
        if added.min(initial=np.inf) < self._left(places) - self.gain:
            return f"{many}more would raise perplexity by more than {self.bound:g}"
        return f"{many}no further head is expected to lower what is left, by its effect and its error"

    def _left(self, places: np.ndarray) -> float:
        return float(self.target.expected(*self._totals(places)))

    def _of_all(self, sizes: Iterable[int]) -> np.ndarray:
        """The best of all sets of these sizes; the smallest of equal ones."""
        best, least = np.empty(0, int), np.inf
        for size in sizes:
            sets = np.array(list(combinations(range(self.ids.size), size)), dtype=int)  # (sets, size)
            mean = self.target.value + self.effect[sets].sum(1)  # (sets, G)
            variance = self.target.variance + self.variance[sets].sum(1)
            left = np.where(self.cost[sets].sum(1) > self.bound, np.inf, self.target.expected(mean, variance))
            first = int(np.argmin(left))
            if left[first] < least - self.gain:
                best, least = sets[first], left[first]
        return best

    def _filled(self, places: np.ndarray) -> np.ndarray:
        """The set with the best additions made, one by one: while they help, or until it has `count` heads."""
        while places.size < self.count:
            left = self._additions(places)
            best = int(np.argmin(left))
            if not np.isfinite(left[best]) or (not self.exactly and left[best] >= self._left(places) - self.gain):
                break
            places = np.append(places, best)
        return places

    def _settled(self, places: np.ndarray) -> np.ndarray:
        """The set improved by the best exchange, removal or addition until none helps."""
        while True:
            now, options = self._left(places), [(self._exchanges(places), "exchange")]
            if not self.exactly:
                options.append((self._removals(places), "removal"))
                if places.size < self.count:
                    options.append((self._additions(places)[None], "addition"))
            left, kind = min(options, key=lambda option: option[0].min(initial=np.inf))
            if left.min(initial=np.inf) >= now - self.gain:
                return places
            out, new = np.unravel_index(int(np.argmin(left)), left.shape)
            kept = places if kind == "addition" else np.delete(places, out)
            places = kept if kind == "removal" else np.append(kept, new)

    def _additions(self, places: np.ndarray, *, bounded: bool = True) -> np.ndarray:
        """What is left with each candidate added, (C); infinite for those in the set or beyond the bound."""
        mean, variance = self._totals(places)
        left = self.target.expected(mean + self.effect, variance + self.variance)
        taken = np.zeros(self.ids.size, bool)
        taken[places] = True
        beyond = self.cost[places].sum() + self.cost + self._cheapest_rest(places) > self.bound
        return np.where(taken | (beyond & bounded), np.inf, left)

    def _cheapest_rest(self, places: np.ndarray) -> np.ndarray:
        """After each candidate (C) is added, the least cost of the heads that a set of exactly `count` still needs."""
        needed = self.count - places.size - 1
        if not self.exactly or needed <= 0 or not np.isfinite(self.bound):
            return np.zeros(self.ids.size)
        cost = self.cost.copy()
        cost[places] = np.inf
        ranked = np.sort(cost)
        among = cost <= ranked[needed - 1]  # a candidate among the cheapest is taken, so the next one must do
        return ranked[:needed].sum() + np.where(among, ranked[needed] - np.where(among, cost, 0.0), 0.0)

    def _removals(self, places: np.ndarray) -> np.ndarray:
        """What is left with each of the set's S heads taken out, (S, 1)."""
        mean, variance = self._totals(places)
        left = self.target.expected(mean - self.effect[places], variance - self.variance[places])
        beyond = self.cost[places].sum() - self.cost[places] > self.bound
        return np.where(beyond, np.inf, left)[:, None]

    def _exchanges(self, places: np.ndarray) -> np.ndarray:
        """What is left with each of the set's S heads exchanged for each candidate, (S, C)."""
        if not places.size:
            return np.empty((0, self.ids.size))
        mean, variance = self._totals(places)
        left = self.target.expected(
            (mean - self.effect[places])[:, None] + self.effect,
            (variance - self.variance[places])[:, None] + self.variance,
        )
        beyond = self.cost[places].sum() - self.cost[places][:, None] + self.cost > self.bound
        left[beyond] = np.inf
        left[:, places] = np.inf
        return left

    def _totals(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        variance = self.target.variance + self.blur + self.variance[places].sum(0)
        return self.target.value + self.effect[places].sum(0), variance
