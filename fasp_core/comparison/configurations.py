"""run_comparison(): methods of pruning side by side on one model, measured. Resumable, progressive, cancellable.

Every configuration (method, γ, α, seed) is a set of heads, and every set is measured by `evaluate` with the database
that the app uses: sets that several methods choose, or that were measured before, cost nothing, and a run that was
stopped goes on where it was. A *seed* fixes the heads of method random and the evaluation's own noise.

γ is chosen per method, α on `valid`: the lowest bias among those γ whose perplexity rises by at most `ppl_limit`; where
none does, the lowest perplexity. Only configurations with the chosen γ are then measured on `test`, and only those
numbers are claims. Methods without γ, or with a single one, have nothing to choose and are measured on `test` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import pandas as pd

from .comparison_table import ComparisonTable, measurement_rows, pool
from .errors import Cancelled, InputError, nearest
from .estimates import Evaluation
from .evaluation import evaluate
from .evaluation_blocks import BlockStore
from .evaluation_plan import EvaluationSettings, study_settings
from .head_scores import HeadScores
from .iterative import IterativeSettings, iterative_order
from .magnitude import keep_magnitudes
from .models import LanguageModel
from .progress import ProgressCallback, StageClock, Stop
from .rules import METHODS, RULES
from .selection import Head, axis_weights, head_count, select_heads
from .store import EvaluationStore
from .study import Study
from .toxicity import Scorer

Heads = tuple[Head, ...]
Measure = Callable[[Heads, str, int, int], Iterator[Evaluation]]  # heads, split, seed, blocks


@dataclass(frozen=True)
class ComparisonSettings:
    """What is compared; checked when made. `axes`: biases measured besides `axis`, by default all scored."""

    axis: str
    methods: tuple[str, ...] = METHODS
    alphas: tuple[float, ...] = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2)  # as in the paper
    gammas: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # as in the paper
    seeds: int = 1
    axes: tuple[str, ...] = ()
    valid_blocks: int = 10
    test_blocks: int = 25  # as many as the app's own measurements
    ppl_limit: float = 0.1  # share of the intact model's perplexity that choosing γ may cost
    weights: Mapping[str, float] | None = None  # of fasp_multi
    iterative: IterativeSettings = field(default_factory=IterativeSettings)
    iterative_gammas: tuple[float, ...] = ()  # those of fasp_iterative, which has to run for each; none: all gammas

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise InputError(f"unknown method '{method}'; {nearest(method, METHODS)}")
        for name in ("methods", "alphas", "gammas"):
            if not getattr(self, name):
                raise InputError(f"a comparison needs {name}; give at least one")
        for name in ("alphas", "gammas", "iterative_gammas"):
            for share in getattr(self, name):
                head_count(share, 1)
        for name in ("seeds", "valid_blocks", "test_blocks"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.ppl_limit < float("inf"):
            raise InputError(f"ppl_limit must be a number above 0, such as 0.1 for 10 %, not {self.ppl_limit}")


@dataclass(frozen=True)
class Configuration:
    """One point of the comparison; `gamma` is None for methods that protect nothing."""

    method: str
    gamma: float | None
    alpha: float
    seed: int
    pruned: Heads


def run_comparison(
    lm: LanguageModel, study: Study, settings: ComparisonSettings, *, scorer: Scorer, measure: Measure,
    progress: ProgressCallback | None = None, stop: Stop | None = None,
) -> ComparisonTable:  # fmt: skip
    """Measure what the settings ask for and keep the table with the study; returns it, complete.

    The table is written after every set that had to be measured, so a page can draw what is there.
    Raises InputError for scores that lack what a method needs, Cancelled once `stop()` is true.
    """
    scores = prepare(lm, study, settings, scorer, progress, stop)
    settings = complete_settings(study, scores, settings)
    table = ComparisonTable.begin(study, scores, asdict(settings))
    run = _Run(measure, table, study, scores, progress, stop)
    points = configurations(scores, settings)
    undecided = [p for p in points if len(gammas_of(p.method, settings)) > 1]
    run.measure_all(undecided, "valid", settings.valid_blocks)
    chosen = choose_gammas(table.frame, settings)
    decided = [p for p in points if p.gamma is None or chosen.get((p.method, p.alpha), p.gamma) == p.gamma]
    run.measure_all(decided, "test", settings.test_blocks)
    table.save(study, complete=True)
    return table


def prepare(
    lm: LanguageModel, study: Study, settings: ComparisonSettings, scorer: Scorer, progress: ProgressCallback | None,
    stop: Stop | None,
) -> HeadScores:  # fmt: skip
    """The study's scores with all that the methods rank by: what is missing is measured and kept in the study."""
    scores = study.scores(scorer.name)
    scores.known_axis(settings.axis)
    if "magnitude_l2" in settings.methods and "magnitude_l2" not in scores.frame:
        with study.writing():
            keep_magnitudes(study, lm)
    if "fasp_iterative" in settings.methods:
        for gamma in gammas_of("fasp_iterative", settings):
            feasible = [alpha for alpha in settings.alphas if _fits(alpha, gamma, scores.n_heads)]
            if any(feasible):
                iterative_order(
                    lm, study, scorer, axis=settings.axis, gamma=gamma, alpha=max(feasible),
                    settings=settings.iterative, progress=progress, stop=stop,
                )  # fmt: skip
    return study.scores(scorer.name)


def measured_axes(study: Study, settings: ComparisonSettings) -> tuple[str, ...]:
    """The biases to measure: that pruned for, and those asked for, scored or not, else all scored ones."""
    known = study.prompts.axes
    asked = (settings.axis, *(settings.axes or study.axes))
    for axis in asked:
        if axis not in known:
            raise InputError(f"unknown axis '{axis}'; {nearest(axis, known)}")
    return tuple(axis for axis in known if axis in asked)


def complete_settings(study: Study, scores: HeadScores, settings: ComparisonSettings) -> ComparisonSettings:
    """The settings with axes and weights filled in, each list in its own order and without repetition."""
    return replace(
        settings, methods=tuple(m for m in METHODS if m in settings.methods), axes=measured_axes(study, settings),
        alphas=tuple(sorted(set(settings.alphas))),
        gammas=tuple(sorted(set(settings.gammas))), iterative_gammas=tuple(sorted(set(settings.iterative_gammas))),
        weights=axis_weights(scores, settings.weights) if "fasp_multi" in settings.methods else None,
    )  # fmt: skip


def gammas_of(method: str, settings: ComparisonSettings) -> tuple[float | None, ...]:
    """The γ that a method is compared at; (None,) where it protects nothing."""
    if not RULES[method].protects:
        return (None,)
    return (method == "fasp_iterative" and settings.iterative_gammas) or settings.gammas


def configurations(scores: HeadScores, settings: ComparisonSettings) -> list[Configuration]:
    """All points, by α, then method, γ and seed; those with α > 1 − γ do not exist."""
    points = []
    for alpha in settings.alphas:
        for method in settings.methods:
            for gamma in gammas_of(method, settings):
                if gamma is not None and not _fits(alpha, gamma, scores.n_heads):
                    continue
                for seed in range(settings.seeds):
                    pruned = select_heads(
                        scores, method, axis=settings.axis, gamma=gamma or 0.0, alpha=alpha, seed=seed,
                        weights=settings.weights,
                    ).pruned  # fmt: skip
                    points.append(Configuration(method, gamma, alpha, seed, pruned))
    return points


def choose_gammas(frame: pd.DataFrame, settings: ComparisonSettings) -> dict[tuple[str, float], float]:
    """γ by (method, α): the lowest bias on valid within the perplexity limit, else the lowest perplexity.

    Ties go to the larger γ. Methods that were not measured on valid are not among the keys.
    """
    valid = frame[frame["split"] == "valid"]
    if valid.empty:
        return {}
    pooled = pool(valid)
    ppl = pooled[pooled["metric"] == "ppl"].set_index(["method", "alpha", "gamma"])["relative"]
    bias = pooled[pooled["metric"] == f"bias.{settings.axis}"].set_index(["method", "alpha", "gamma"])["relative"]
    both = pd.DataFrame({"ppl": ppl, "bias": bias}).reset_index().sort_values("gamma", ascending=False, kind="stable")
    chosen = {}
    for key, part in both.groupby(["method", "alpha"], sort=False):
        affordable = part[part["ppl"] <= settings.ppl_limit]
        best = affordable.nsmallest(1, "bias") if len(affordable) else part.nsmallest(1, "ppl")
        chosen[key] = float(best["gamma"].iloc[0])
    return chosen


def _fits(alpha: float, gamma: float, n_heads: int) -> bool:
    return head_count(alpha, n_heads) + head_count(gamma, n_heads) <= n_heads and alpha + gamma <= 1 + 1e-9


class _Run:
    """Measures sets of heads, each once, and files what each configuration got."""

    def __init__(
        self, measure: Measure, table: ComparisonTable, study: Study, scores: HeadScores,
        progress: ProgressCallback | None, stop: Stop | None,
    ) -> None:  # fmt: skip
        self.measure, self.table, self.study, self.scores = measure, table, study, scores
        self.progress, self.stop = progress, stop

    def measure_all(self, points: Sequence[Configuration], split: str, blocks: int) -> None:
        """Measure the points of one split set by set; a set's rows are filed and saved once it is complete."""
        sets: dict[tuple[Heads, int], list[Configuration]] = {}
        for point in points:
            sets.setdefault((point.pruned, point.seed), []).append(point)
        clock = StageClock(f"measuring on {split}", len(sets) * blocks, "blocks", self.progress)
        for (heads, seed), same in sets.items():
            evaluation = self._measured(heads, split, seed, blocks, clock)
            self.table.add(row for point in same for row in measurement_rows(asdict(point), evaluation, self.scores))
            self.table.save(self.study)

    def _measured(self, heads: Heads, split: str, seed: int, blocks: int, clock: StageClock) -> Evaluation:
        """A set's measurement, to the end. What was measured before does not count towards the speed."""
        counted, last = 0, None
        for last in self.measure(heads, split, seed, blocks):
            new = round(last.fraction_done * blocks) - counted
            if counted == 0 and last.done:
                clock.already += new
            counted += new
            clock.step(new)
            if self.stop is not None and self.stop() and not last.done:
                raise Cancelled("the comparison was stopped; run it again to go on where it ended")
        return last


def study_measure(
    lm: LanguageModel, study: Study, axes: Sequence[str], *, scorer: Scorer, store: BlockStore | None = None,
    settings: EvaluationSettings | None = None, stop: Stop | None = None,
) -> Measure:  # fmt: skip
    """How `run_comparison` measures a set of heads: as `evaluate_study` does; seed 0 shares the app's blocks."""
    store = store if store is not None else EvaluationStore(study.folder.parent)
    prompts, windows, settings = study.prompts, study.windows, settings or study_settings(study)

    def measure(heads: Heads, split: str, seed: int, blocks: int) -> Iterator[Evaluation]:
        return evaluate(
            lm, heads, axes, split=split, prompts=prompts, windows=windows, scorer=scorer, store=store, stop=stop,
            settings=replace(settings, seed=settings.seed + seed, blocks=blocks),
        )  # fmt: skip

    return measure
