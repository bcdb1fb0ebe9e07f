"""The best set within a perplexity budget: a search over γ × α × method that measures only what is promising.

Known before anything is measured are the sums of single-head scores. They say little about a whole set, but they order
sets well enough to measure the promising ones first, and every measurement corrects what the next are expected to cost.
No torch here: `measure` does that.

    found = search(candidates(scores, axis), measure, known={}, limit=0.05)  # ways: with and without compensation
    best_within(comparable_sets(measured_sets(study, split="valid"), axis).sets, axis, 0.05)

Scores and measurements are by one measure of bias, toxicity or likelihood.
A set that is best of several on valid prompts is also the luckiest of them: confirm it on test prompts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fasp_core.errors import InputError
from fasp_core.evaluation.history import MeasuredSet
from fasp_core.evaluation.result import Evaluation, Metrics
from fasp_core.head import Head, flat_id
from fasp_core.models.compensation_choice import Compensate
from fasp_core.progress import ProgressCallback, StageClock, Stop, check_stop
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.rules import RULES, expected_bias
from fasp_core.selection.select_heads import head_count, select_heads

GAMMAS = (0.2, 0.3, 0.4, 0.5, 0.6)
ALPHAS = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3)
MOST_SETS = 8  # that one search measures
FIRST_FACTOR = 1.5  # of the summed rise of perplexity, before anything was measured: heads together cost more
COMPENSATED = 0.4  # of that where the other heads take over (benchmarks.compensation), if the scores do not know it
MOST_OVERLAP = 0.8  # of a set with one that was measured (intersection over union): closer ones tell nothing new

Measure = Callable[[tuple[Head, ...], Compensate], Iterator[Evaluation]]  # ever more precise, the last one `done`


@dataclass(frozen=True)
class Candidate:
    """A set that a method chooses, with its predicted rise of perplexity (a share) and fall of the bias.

    `compensated`: chosen and predicted by scores under compensation.
    """

    heads: tuple[Head, ...]
    method: str
    gamma: float
    alpha: float
    ppl_rise: float
    bias_fall: float
    compensated: bool = False


def candidates(
    scores: HeadScores, axis: str, *, gammas: Sequence[float] = GAMMAS, alphas: Sequence[float] = ALPHAS
) -> list[Candidate]:
    """What the methods that protect heads choose for `axis` at every γ and α, each set once, by predicted fall of bias.

    The fall is the sum of the *expected* z_bias, which noise inflates less than the sum of z_bias; heads that seem to
    harm perplexity count as free. Raises InputError where the intact model's perplexity is not known.
    """
    if scores.base_ppl is None or scores.relative:
        raise InputError(
            "these scores hold no perplexity of the intact model, so no budget can be kept; score the model"
        )
    cost, compensated = np.maximum(scores.z_ppl, 0) / scores.base_ppl.value, scores.meta.compensate is not None
    found: dict[tuple[Head, ...], Candidate] = {}
    for method in (name for name, rule in RULES.items() if rule.protects and rule.uses_axis):
        for gamma in gammas:
            fall = _expected_fall(scores, axis, gamma)
            for alpha in alphas:
                try:
                    heads = select_heads(scores, method, axis=axis, gamma=gamma, alpha=alpha).pruned
                except InputError:  # α > 1 − γ, or a method that needs what these scores lack
                    continue
                flat = [flat_id(head, scores.heads_per_layer) for head in heads]
                effects = float(cost[flat].sum()), float(fall[flat].sum())
                made = Candidate(heads, method, gamma, alpha, *effects, compensated)
                if heads and made.bias_fall > 0:
                    found.setdefault(heads, made)
    return sorted(found.values(), key=lambda candidate: -candidate.bias_fall)


def next_candidate(
    found: Iterable[Candidate],
    measured: Mapping[tuple[Head, ...], float],
    limit: float,
    first_factor: float = FIRST_FACTOR,
) -> Candidate | None:
    """The most promising set that is expected to keep the budget `limit`, or None.

    `measured` maps sets to their measured rise of perplexity (a share); how it compares with what was predicted
    corrects the prediction of the others; before that it is multiplied by `first_factor`. Sets that nearly equal a
    measured one are left out.
    """
    found = list(found)
    ratios = [measured[c.heads] / c.ppl_rise for c in found if c.heads in measured and c.ppl_rise > 0]
    factor = max(statistics.median(ratios), 0.1) if ratios else first_factor
    return next(
        (
            c
            for c in sorted(found, key=lambda c: -c.bias_fall)
            if factor * c.ppl_rise <= limit and all(_overlap(c.heads, heads) <= MOST_OVERLAP for heads in measured)
        ),
        None,
    )


def search(
    found: Sequence[Candidate],
    measure: Measure,
    *,
    known: Mapping[tuple[Head, ...], float],
    limit: float,
    most: int = MOST_SETS,
    ways: Sequence[Compensate] = ("none",),
    progress: ProgressCallback | None = None,
    stop: Stop | None = None,
) -> list[Evaluation]:
    """Measure up to `most` sets, each chosen with what the ones before have shown; gives them in this order.

    Every set is measured in each of `ways`, and is expected to cost what the cheapest of them does. `known` are the
    sets measured before in all of them, with that rise of perplexity. Raises Cancelled once `stop()` is true; what was
    measured is kept by `measure`.
    """
    measured = dict(known)
    results: list[Evaluation] = []
    taken_over = "least_squares" in ways and not any(candidate.compensated for candidate in found)
    first_factor = FIRST_FACTOR * (COMPENSATED if taken_over else 1)
    clock = StageClock("measuring sets", 100 * most, "%", progress)
    for number in range(most):
        candidate = next_candidate(found, measured, limit, first_factor)
        if candidate is None:
            break
        results += measured_in(ways, candidate.heads, measure, clock, number, most, stop)
        measured[candidate.heads] = min(map(ppl_rise, results[-len(ways) :]))
    clock.step(clock.total - clock.done)
    return results


def measured_in(
    ways: Sequence[Compensate],
    heads: tuple[Head, ...],
    measure: Measure,
    clock: StageClock,
    number: int,
    most: int,
    stop: Stop | None,
) -> list[Evaluation]:
    """A set measured to the end in each of `ways`, as the one after `number` others of `most`; `clock` counts to 100.

    Raises Cancelled once `stop()` is true.
    """
    results = []
    for way, compensate in enumerate(ways):
        result = None
        for result in measure(heads, compensate):
            check_stop(stop, "the search", resumes=True)
            at = number + (way + result.fraction_done) / len(ways)
            clock.step(int(100 * at) - clock.done, f"set {number + 1} of {most}")
        if result is not None:
            results.append(result)
    return results


def ppl_rise(evaluation: Evaluation) -> float:
    """The measured rise of perplexity as a share of the intact model's."""
    return evaluation.change.ppl.value / evaluation.before.ppl.value


def known_rises(sets: Iterable[MeasuredSet], ways: Sequence[Compensate]) -> dict[tuple[Head, ...], float]:
    """The rise of perplexity of the sets measured in all of `ways`, by the cheapest: what a search knows already."""
    found: dict[tuple[Head, ...], dict[Compensate, float]] = {}
    for one in sets:
        found.setdefault(one.target.heads, {})[one.target.compensate] = ppl_rise(one.evaluation)
    return {heads: min(by[way] for way in ways) for heads, by in found.items() if {*ways} <= by.keys()}


def best_within(sets: Iterable[MeasuredSet], axis: str, limit: float, metric: str = "toxicity") -> MeasuredSet | None:
    """Of sets measured on the same texts, the one with the lowest bias whose perplexity rises by at most `limit`.

    None where no such set has a lower bias than the intact model.
    """

    def bias(part: Metrics) -> float:
        return part.bias_by(metric)[axis].value

    within = [one for one in sets if ppl_rise(one.evaluation) <= limit and bias(one.evaluation.change) < 0]
    return min(within, key=lambda one: bias(one.evaluation.after), default=None)


def _expected_fall(scores: HeadScores, axis: str, gamma: float) -> np.ndarray:
    """Expected z_bias of every head, (N,); z_bias itself where no errors are known."""
    free = np.ones(scores.n_heads, bool)
    free[np.argsort(-scores.importance(), kind="stable")[: head_count(gamma, scores.n_heads)]] = False
    try:
        return np.nan_to_num(expected_bias(scores, axis, free, "the search"))
    except InputError:
        return np.nan_to_num(scores.z_bias(axis))


def _overlap(one: Sequence[Head], other: Sequence[Head]) -> float:
    both = len({*one} & {*other})
    return both / (len(one) + len(other) - both)
