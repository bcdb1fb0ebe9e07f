"""The best set within a perplexity budget by simulated annealing on a surrogate that is fitted to measured sets.

After Attention Pruning (Dasu et al. 2025, arXiv 2503.15815), at the measuring cost of the plain `search`: the first
half of the sets are random draws of unprotected heads; then, set by set, the surrogate is fitted to all that is
measured, annealing finds the set that it expects to be best within the budget, and that set is measured. As published
the surrogate knows measured sets alone. It may also begin from the scores of single heads (`single_heads`), and then
one draw is enough. Sets measured before teach it for nothing. No torch here: `measure` does that.

    found = annealed_search(free, n_heads, measure, reading, known=[…], limit=0.05, most=32)
    found.explained.bias.low > 0  # else the surrogate knows nothing of the bias, and drawn sets are as good
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fasp_core.comparison.annealing import anneal
from fasp_core.comparison.search import ALPHAS, Measure, measured_in, ppl_rise
from fasp_core.comparison.surrogate import (
    FEWEST_SETS,
    Explained,
    HeadEffects,
    MeasuredMasks,
    cross_validated,
    fit_surrogate,
)
from fasp_core.errors import InputError
from fasp_core.evaluation.result import Evaluation, Metrics
from fasp_core.head import Head
from fasp_core.models.compensation_choice import Compensate
from fasp_core.progress import ProgressCallback, StageClock, Stop
from fasp_core.selection.select_heads import head_count
from fasp_core.stats.noise_floor import group_gaps
from fasp_core.stats.target import MEAN_TOXICITY

TRIES = 100  # for each draw, to be none of those before


@dataclass(frozen=True)
class Reading:
    """How gaps are read from an evaluation: of `axis` by `metric`, with π_g in `shares`, indexed by group.

    The mean toxicity has no groups: its one gap is the mean itself.
    """

    axis: str
    metric: str
    shares: pd.Series

    def gaps(self, part: Metrics) -> np.ndarray:
        """μ − μ_g of one model or of a change, (G); the bias is the sum of their absolute values."""
        read = part.axes_by(self.metric)[self.axis]
        if self.axis == MEAN_TOXICITY:
            return np.array([read.bias.value])
        return group_gaps(np.array([read.groups[group].value for group in self.shares.index]), self.shares.to_numpy())


@dataclass(frozen=True)
class AnnealedSearch:
    """The sets that were measured, in their order, and how much of unseen ones the last surrogate explains."""

    results: list[Evaluation]
    explained: Explained


def drawn_sets(
    free: Sequence[Head], n_heads: int, count: int, *, alphas: Sequence[float] = ALPHAS, seed: int = 0
) -> list[tuple[Head, ...]]:
    """Up to `count` different random sets of the heads `free`, each of ⌊αN⌋ heads for an α drawn from `alphas`.

    The draws of a longer search begin with those of a shorter one of the same seed.
    """
    sizes = np.clip([head_count(alpha, n_heads) for alpha in alphas], 1, len(free))
    rng, found = np.random.default_rng(seed), dict[tuple[Head, ...], None]()
    for _ in range(TRIES * count if free else 0):
        if len(found) == count:
            break
        places = np.sort(rng.choice(len(free), rng.choice(sizes), replace=False))
        found[tuple(free[place] for place in places)] = None
    return list(found)


def n_drawn(most: int, *, by_scores: bool) -> int:
    """How many of `most` sets are drawn at random: half where only they can teach, one where scores are known.

    Raises InputError for fewer sets than a surrogate needs.
    """
    if most < FEWEST_SETS:
        raise InputError(f"annealing needs at least {FEWEST_SETS} sets to fit a surrogate; raise the number of sets")
    return 1 if by_scores else most // 2


def annealed_search(
    free: Sequence[Head],
    n_heads: int,
    measure: Measure,
    reading: Reading,
    *,
    known: Iterable[Evaluation],
    limit: float,
    most: int,
    start: HeadEffects | None = None,
    ways: Sequence[Compensate] = ("none",),
    alphas: Sequence[float] = ALPHAS,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    stop: Stop | None = None,
) -> AnnealedSearch:
    """Measure `most` sets of the heads `free`: some drawn (see `n_drawn`), the others proposed by annealing.

    Every set is measured in each of `ways`; the surrogate is of the last of them, and learns from `known` too, as far
    as those were measured in that way, on the same texts, and prune none but free heads; `start` is what it begins
    from (see `surrogate`). Draws that are known cost nothing. Sets have at most the largest of `alphas` of the N heads,
    as the plain search's. Raises InputError for fewer sets than a surrogate needs, and where no head is free; Cancelled
    once `stop()` is true; what was measured is kept by `measure`.
    """
    drawn = n_drawn(most, by_scores=start is not None)
    if not free:
        raise InputError("every head is protected, so no set can be measured; choose a smaller gamma")
    draws = drawn_sets(free, n_heads, most, alphas=alphas, seed=seed)
    before = {one.pruned: one for one in known if one.compensate == ways[-1] and {*one.pruned} <= {*free}}
    largest, rng = max(head_count(alpha, n_heads) for alpha in alphas), np.random.default_rng(seed)
    clock = StageClock("measuring sets", 100 * most, "%", progress)
    results: list[Evaluation] = []
    learned: dict[tuple[Head, ...], Evaluation] = {}
    for number in range(most):
        if number < drawn:
            heads = draws[number] if number < len(draws) else None
        else:
            heads = _proposed(free, measured_masks(learned.values(), free, reading), start, limit, largest, rng)
            heads = heads or next((one for one in draws if one not in learned), None)
        if heads is None:
            break  # every set there is has been measured
        results += measured_in(ways, heads, measure, clock, number, most, stop)
        if not learned:
            learned = {pruned: one for pruned, one in before.items() if _same_texts(one, results[-1], reading)}
        learned[heads] = results[-1]
    clock.step(clock.total - clock.done)
    return AnnealedSearch(results, cross_validated(measured_masks(learned.values(), free, reading), start))


def measured_masks(sets: Iterable[Evaluation], free: Sequence[Head], reading: Reading) -> MeasuredMasks:
    """What the surrogate is fitted to, from sets of free heads that were measured on the same texts."""
    sets, place = list(sets), {head: i for i, head in enumerate(free)}
    masks = np.zeros((len(sets), len(free)))
    for row, one in zip(masks, sets, strict=True):
        row[[place[head] for head in one.pruned]] = 1
    return MeasuredMasks(
        masks,
        reading.gaps(sets[0].before),
        np.stack([reading.gaps(one.change) for one in sets]),
        np.log1p([ppl_rise(one) for one in sets]),
    )


def _proposed(
    free: Sequence[Head],
    measured: MeasuredMasks,
    start: HeadEffects | None,
    limit: float,
    most: int,
    rng: np.random.Generator,
) -> tuple[Head, ...]:
    """The set that a surrogate of the measured ones expects to be best; none where all within the budget are known."""
    surrogate = fit_surrogate(measured, start)
    found = anneal(
        measured.gaps,
        surrogate.effects,
        surrogate.cost,
        budget=float(np.log1p(limit)),
        most=most,
        rng=rng,
        measured=measured.masks.astype(bool),
    )
    return tuple(free[i] for i in found)


def _same_texts(one: Evaluation, other: Evaluation, reading: Reading) -> bool:
    """Whether two sets were measured on the same texts and windows: the intact model has the same numbers on them."""
    gaps = np.array_equal(reading.gaps(one.before), reading.gaps(other.before))
    return gaps and one.before.ppl.value == other.before.ppl.value
