"""What a comparison measures: its settings, the configurations they amount to, and the γ chosen for each method.

A configuration is a pruned model: the heads that a method prunes at one γ and α, and what takes their place. Methods
that protect nothing have no γ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import pandas as pd

from fasp_core.comparison.table import pool
from fasp_core.errors import InputError, nearest
from fasp_core.evaluation.asked import known_target
from fasp_core.head import Head
from fasp_core.models.compensation_choice import COMPENSATIONS, Compensate
from fasp_core.scoring.iterative_settings import IterativeSettings
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.rules import METHODS, RULES
from fasp_core.selection.select_heads import head_count, select_heads
from fasp_core.stats.target import MEAN_TOXICITY
from fasp_core.study.clearest import clearest_metric_for
from fasp_core.study.scores import METRICS
from fasp_core.study.study import Study
from fasp_core.study.views import measured_axes


@dataclass(frozen=True)
class ComparisonSettings:
    """What is compared; checked when made. `axes`: biases measured besides `axis`, by default all scored ones.

    Heads are chosen and models measured by `metric`, each set of heads with every one of `compensations`.
    """

    axis: str
    metric: str | None = None  # None: by which the axis's bias is clearest
    methods: tuple[str, ...] | None = None  # None: all that can be compared
    compensations: tuple[Compensate, ...] = ("none",)
    alphas: tuple[float, ...] = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2)  # as in the paper
    gammas: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # as in the paper
    seeds: int = 1
    axes: tuple[str, ...] = ()
    valid_blocks: int = 10
    test_blocks: int = 25  # as in the app's measurements
    ppl_limit: float = 0.1  # share of the intact model's perplexity that choosing γ may cost
    weights: Mapping[str, float] | None = None  # of fasp_multi
    iterative: IterativeSettings = field(default_factory=IterativeSettings)
    iterative_gammas: tuple[float, ...] = ()  # of fasp_iterative, which runs once for each; (): all gammas

    def __post_init__(self) -> None:
        allowed = {"metric": METRICS, "method": METHODS, "compensation": COMPENSATIONS}
        asked = {
            "metric": (self.metric or METRICS[0],),
            "method": self.methods or (),
            "compensation": self.compensations,
        }
        for name, known in allowed.items():
            for one in asked[name]:
                if one not in known:
                    raise InputError(f"unknown {name} '{one}'; {nearest(one, known)}")
        for name in ("methods", "alphas", "gammas", "compensations"):
            if getattr(self, name) == ():
                raise InputError(f"a comparison needs {name}; give at least one")
        for name in ("alphas", "gammas", "iterative_gammas"):
            for share in getattr(self, name):
                head_count(share, 1)
        for name in ("seeds", "valid_blocks", "test_blocks"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.ppl_limit < float("inf"):
            raise InputError(f"ppl_limit must be a number above 0, such as 0.1 for 10 %, not {self.ppl_limit}")


class Pruned(NamedTuple):
    """A pruned model: the heads that go, and what takes their place; where none goes, nothing does."""

    heads: tuple[Head, ...]
    compensate: Compensate


@dataclass(frozen=True)
class Configuration:
    """One point of the comparison; `gamma` is None for methods that protect nothing.

    Where no head is pruned there is nothing to `compensate`: these points are the intact model, whatever they say.
    """

    method: str
    gamma: float | None
    alpha: float
    compensate: Compensate
    seed: int
    pruned: tuple[Head, ...]

    @property
    def model(self) -> Pruned:
        """What is measured."""
        return Pruned(self.pruned, self.compensate if self.pruned else "none")


def baselines(point: Configuration, points: Iterable[Configuration]) -> list[Configuration]:
    """What a point's model is compared with itself, of the `points` with its α and seed.

    That is FASP as published (with nothing in the heads' place), and with the same in their place FASP and heads drawn
    at random; but no model with itself, and the intact model with none.
    """
    names = dict.fromkeys((("fasp", "none"), ("fasp", point.compensate), ("random", point.compensate)))
    same = {(p.method, p.compensate): p for p in points if (p.alpha, p.seed) == (point.alpha, point.seed)}
    found = (same[name] for name in names if name in same)
    return [other for other in found if point.pruned and other.pruned and other.model != point.model]


def methods_for(axis: str) -> tuple[str, ...]:
    """The methods that can be compared for an axis: all, but for the mean toxicity, which has no groups.

    fasp_joint and fasp_iterative close gaps between groups, and activation_difference tells groups apart.
    """
    out = {"fasp_joint", "fasp_iterative", "activation_difference"} if axis == MEAN_TOXICITY else set()
    return tuple(method for method in METHODS if method not in out)


def why_not_in_stages(study: Study, axis: str, metric: str, compensations: Sequence[Compensate]) -> str | None:
    """Why fasp_iterative cannot be compared with these compensations, and how it could; None where it can.

    By likelihood with least squares its stages begin with scores under compensation.
    """
    if metric != "likelihood" or "least_squares" not in compensations:
        return None
    if axis in measured_axes(study, metric, compensated=True):
        return None
    return (
        f"fasp_iterative by likelihood with least_squares begins with scores under compensation, and study "
        f"'{study.name}' has none of {axis}; add them: python -m fasp_core score MODEL --name {study.name} --axes "
        f"{axis} --metric likelihood --compensated; or leave one of the two out"
    )


def complete_settings(study: Study, settings: ComparisonSettings) -> ComparisonSettings:
    """The settings with metric, methods and axes filled in, each list in its own order and without repetition.

    `axes` are the biases to measure: the one pruned for, and those asked for (scored or not), else all scored ones.
    `methods` are those asked for, else all that the study has the scores for. Raises InputError for an axis that does
    not exist, and a method that cannot be compared for the axis or by these scores.
    """
    metric = settings.metric or clearest_metric_for(study, settings.axis)
    able = methods_for(settings.axis)
    for method in settings.methods or ():
        if method not in able:
            raise InputError(f"{method} is no method for {settings.axis}; possible: {', '.join(able)}")
    if reason := why_not_in_stages(study, settings.axis, metric, settings.compensations):
        if "fasp_iterative" in (settings.methods or ()):
            raise InputError(reason)
        able = tuple(method for method in able if method != "fasp_iterative")
    prompts = study.prompts
    others = settings.axes or measured_axes(study, metric)
    asked = [known_target(prompts, axis) for axis in (settings.axis, *others)]
    return replace(
        settings,
        metric=metric,
        methods=tuple(m for m in able if m in (settings.methods or able)),
        compensations=tuple(c for c in COMPENSATIONS if c in settings.compensations),
        axes=tuple(axis for axis in (*prompts.axes, MEAN_TOXICITY) if axis in asked),
        alphas=tuple(sorted(set(settings.alphas))),
        gammas=tuple(sorted(set(settings.gammas))),
        iterative_gammas=tuple(sorted(set(settings.iterative_gammas))),
    )


def gammas_of(method: str, settings: ComparisonSettings) -> tuple[float | None, ...]:
    """The γ that a method is compared at; (None,) where it protects nothing."""
    if not RULES[method].protects:
        return (None,)
    return (method == "fasp_iterative" and settings.iterative_gammas) or settings.gammas


def staged_alphas(settings: ComparisonSettings, n_heads: int) -> dict[float, float]:
    """The γ that fasp_iterative finds an order for, with each compensation, and up to which α; none of α 0."""
    gammas = settings.iterative_gammas or settings.gammas
    most = {gamma: max([a for a in settings.alphas if fits(a, gamma, n_heads)], default=0.0) for gamma in gammas}
    return {gamma: alpha for gamma, alpha in most.items() if alpha}


def n_stages(settings: ComparisonSettings, n_heads: int) -> int:
    """Stages of all orders that fasp_iterative finds for these settings, if none is known."""
    size = settings.iterative.stage_size(n_heads)
    each = (-(-head_count(alpha, n_heads) // size) for alpha in staged_alphas(settings, n_heads).values())
    return sum(each) * len(settings.compensations)


def configurations(scores: Mapping[Compensate, HeadScores], settings: ComparisonSettings) -> list[Configuration]:
    """All points of complete settings, by α, then method, γ, seed and compensation; none with α > 1 − γ.

    `scores` choose the heads, those of a compensation where it takes their place.
    """
    n_heads = next(iter(scores.values())).n_heads
    points = []
    for alpha in settings.alphas:
        for method in settings.methods or ():
            for gamma in gammas_of(method, settings):
                if gamma is not None and not fits(alpha, gamma, n_heads):
                    continue
                for seed in range(settings.seeds):
                    for compensate in settings.compensations:
                        pruned = select_heads(
                            scores[compensate],
                            method,
                            axis=settings.axis,
                            gamma=gamma or 0.0,
                            alpha=alpha,
                            seed=seed,
                            weights=settings.weights,
                        ).pruned
                        points.append(Configuration(method, gamma, alpha, compensate, seed, pruned))
    return points


def choose_gammas(frame: pd.DataFrame, settings: ComparisonSettings) -> dict[tuple[str, str, float], float]:
    """γ by (method, compensation, α): the lowest bias on valid within the perplexity limit, else the lowest perplexity.

    Ties go to the larger γ. Methods that were not measured on valid have no entry.
    """
    valid = frame[frame["split"] == "valid"]
    if valid.empty:
        return {}
    pooled, curve = pool(valid), ["method", "compensate", "alpha"]
    ppl = pooled[pooled["metric"] == "ppl"].set_index([*curve, "gamma"])["relative"]
    bias = pooled[pooled["metric"] == f"bias.{settings.axis}"].set_index([*curve, "gamma"])["relative"]
    both = pd.DataFrame({"ppl": ppl, "bias": bias}).reset_index().sort_values("gamma", ascending=False, kind="stable")
    chosen = {}
    for key, part in both.groupby(curve, sort=False):
        affordable = part[part["ppl"] <= settings.ppl_limit]
        best = affordable.nsmallest(1, "bias") if len(affordable) else part.nsmallest(1, "ppl")
        chosen[key] = float(best["gamma"].iloc[0])
    return chosen


def fits(alpha: float, gamma: float, n_heads: int) -> bool:
    """Whether so large a share can be pruned beside the protected one: α ≤ 1 − γ, also in whole heads."""
    return head_count(alpha, n_heads) + head_count(gamma, n_heads) <= n_heads and alpha + gamma <= 1 + 1e-9
