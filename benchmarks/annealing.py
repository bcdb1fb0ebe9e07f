"""True bias left by annealing on a surrogate, `fasp`, `fasp_joint` and random sets, at equal numbers of measured sets.

    python -m benchmarks.annealing [--studies 10] [--reliability 0.5] [--json FILE]

Studies are made as in `joint`: 270 heads, 6 groups, true effects known. Every way measures up to so many sets of at
most 27 unprotected heads, each group's mean with a standard error of 0.004, and its answer is the set of the lowest
measured bias. `fasp` and `fasp_joint` measure what they choose at different numbers of heads, of which there are 27;
`random` and annealing by sets know no scores. With interactions every pair of heads also does something to each group's
mean, with as much variance in a set of 27 heads as their single effects have. Printed is the mean over studies in per
cent of the intact bias, with its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.joint import CHOSEN, GROUPS, HEADS, MEAN_SE, MadeStudy, made_study
from fasp_core.cli.output import print_table
from fasp_core.comparison.annealed_search import Reading, annealed_search, drawn_sets
from fasp_core.comparison.search import Measure
from fasp_core.comparison.surrogate import HeadEffects
from fasp_core.evaluation.result import Evaluation, Metrics
from fasp_core.head import Head
from fasp_core.models.compensation_choice import Compensate
from fasp_core.stats.bias import axis_bias
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.paired import AxisMetrics

AXIS, NAMES = "made", [f"group {g}" for g in range(GROUPS)]
SETS = (8, 16, 32, 64)
ALPHAS = tuple(size / HEADS + 1e-9 for size in range(1, CHOSEN + 1))


@dataclass(frozen=True, eq=False)
class Truth:
    """A study, what each pair of heads adds to the groups' means besides (N, N, G), and the errors of measuring."""

    study: MadeStudy
    pairs: np.ndarray
    noise: np.random.Generator

    def means(self, heads: np.ndarray) -> np.ndarray:
        """The true group means without these flat ids, (G)."""
        both = self.pairs[np.ix_(heads, heads)].sum((0, 1))
        return self.study.means + self.study.effects[heads].sum(0) + both

    def bias(self, heads: np.ndarray) -> float:
        """The true bias without them."""
        return float(axis_bias(self.means(heads), self.study.shares))

    def measured(self, heads: np.ndarray) -> np.ndarray:
        """The measured group means without them, (G)."""
        return self.means(heads) + MEAN_SE * self.noise.normal(size=GROUPS)


def truth_of(study: MadeStudy, seed: int, *, interacting: bool) -> Truth:
    """The truth of a study, with or without interactions; `seed` is that of the pairs and of what is measured."""
    rng = np.random.default_rng([seed, 1])
    pairs = np.zeros((HEADS, HEADS, GROUPS))
    if interacting:
        first, second = np.triu_indices(HEADS, 1)
        size = study.effects.std() * np.sqrt(2 / (CHOSEN - 1))  # 27 heads have 27 · 26 / 2 pairs
        pairs[first, second] = size * rng.normal(size=(first.size, GROUPS))
    return Truth(study, pairs, rng)


def best_of(truth: Truth, sets: Sequence[np.ndarray]) -> float:
    """The true bias of the set with the lowest measured bias, each measured once."""
    found = [float(axis_bias(truth.measured(heads), truth.study.shares)) for heads in sets]
    return truth.bias(sets[int(np.argmin(found))])


def at_sizes(choose: Callable[[int], np.ndarray], count: int) -> list[np.ndarray]:
    """Up to `count` different sets of a rule, of numbers of heads spread over what is allowed."""
    sizes = np.unique(np.round(np.linspace(CHOSEN, 1, count)).astype(int))
    return list({tuple(sorted(heads)): heads for heads in map(choose, map(int, sizes))}.values())


def annealed(truth: Truth, most: int, *, by_scores: bool) -> list[Evaluation]:
    """The sets of an annealed search, in the order in which they were measured."""
    study = truth.study
    free = [(0, int(head)) for head in np.flatnonzero(study.free)]
    reading = Reading(AXIS, "toxicity", pd.Series(study.shares, NAMES))
    start = HeadEffects(study.target().effect[study.free], np.zeros(len(free))) if by_scores else None
    options = {"known": (), "limit": 0.0, "most": most, "start": start, "alphas": ALPHAS}
    return annealed_search(free, HEADS, measured_by(truth), reading, **options).results


def measured_by(truth: Truth) -> Measure:
    """Measures sets of heads of the one layer; perplexity never rises, so only the number of heads is bounded."""

    def measure(heads: tuple[Head, ...], _: Compensate) -> Iterator[Evaluation]:
        before, after = truth.study.measured_means, truth.measured(_flat(heads))
        ppl = (Estimate(20.0, 0.0, 1), Estimate(20.0, 0.0, 1), Estimate(0.0, 0.0, 1))
        means = (before, after, after - before)
        parts = (Metrics(p, {AXIS: _metrics(m, truth.study.shares)}) for p, m in zip(ppl, means, strict=True))
        yield Evaluation(heads, "valid", *parts, 1, 1, 1.0)

    return measure


def best_measured(truth: Truth, found: Sequence[Evaluation]) -> float:
    """The true bias of the set with the lowest measured bias."""
    return truth.bias(_flat(min(found, key=lambda one: one.bias[AXIS]).pruned))


def bias_left(studies: int, reliability: float, *, interacting: bool) -> dict[str, np.ndarray]:
    """By way, the true bias left as a share of the intact bias, (studies, SETS)."""
    rows = []
    for repeat in range(studies):
        study = made_study(reliability, np.random.default_rng(repeat))
        truth = truth_of(study, repeat, interacting=interacting)
        free = [(0, int(head)) for head in np.flatnonzero(study.free)]
        drawn = [_flat(heads) for heads in drawn_sets(free, HEADS, max(SETS), alphas=ALPHAS, seed=repeat)]
        by_scores = annealed(truth, max(SETS), by_scores=True)  # a shorter search has the same first sets
        ways: dict[str, Callable[[int], float]] = {
            "random": lambda count, t=truth, sets=drawn: best_of(t, sets[:count]),
            "fasp": lambda count, t=truth: best_of(t, at_sizes(lambda n: t.study.fasp(n)[0], count)),
            "fasp_joint": lambda count, t=truth: best_of(t, at_sizes(t.study.joint, count)),
            "annealed, sets": lambda count, t=truth: best_measured(t, annealed(t, count, by_scores=False)),
            "annealed, scores": lambda count, t=truth, sets=by_scores: best_measured(t, sets[:count]),
        }
        rows.append({way: [left(count) / study.bias for count in SETS] for way, left in ways.items()})
    return {way: np.array([row[way] for row in rows]) for way in rows[0]}


def _flat(heads: Sequence[Head]) -> np.ndarray:
    return np.array([head for _, head in heads])


def _metrics(means: np.ndarray, shares: np.ndarray) -> AxisMetrics:
    groups = {name: Estimate(float(mean), MEAN_SE, 1) for name, mean in zip(NAMES, means, strict=True)}
    bias = Estimate(float(axis_bias(means, shares)), 0.0, 1)
    return AxisMetrics(bias, groups, bias)


def main() -> None:
    """Print a table without and one with interactions; `--json` also writes every study's figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--reliability", type=float, default=0.5, help="of the scores of single heads")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    found = {}
    for interacting in (False, True):
        name = "pairs interact" if interacting else "effects add up"
        found[name] = bias_left(options.studies, options.reliability, interacting=interacting)
        rows = [(way, *map(_cell, left.T)) for way, left in found[name].items()]
        print(f"True bias left, % of the intact bias; {name}; scores of reliability {options.reliability:g}")
        print_table(("way", *(f"{count} sets" for count in SETS)), rows)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            json.dump({name: {way: left.tolist() for way, left in by.items()} for name, by in found.items()}, out)


def _cell(left: np.ndarray) -> str:
    value = Estimate(100 * left.mean(), 100 * left.std(ddof=1) / np.sqrt(left.size), left.size, left.size - 1)
    return f"{value.value:.0f} ({value.low:.0f} to {value.high:.0f})"


if __name__ == "__main__":
    main()
