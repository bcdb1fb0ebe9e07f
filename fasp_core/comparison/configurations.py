"""What a comparison measures: its settings, the configurations they amount to, and the γ chosen for each method.

A configuration is a set of heads: those that a method prunes at one γ and α. Methods that protect nothing have no γ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from fasp_core.comparison.table import pool
from fasp_core.errors import InputError, nearest
from fasp_core.head import Head
from fasp_core.scoring.iterative import IterativeSettings
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.rules import METHODS, RULES
from fasp_core.selection.select_heads import axis_weights, head_count, select_heads
from fasp_core.study.study import Study


@dataclass(frozen=True)
class ComparisonSettings:
    """What is compared; checked when made. `axes`: biases measured besides `axis`, by default all scored ones."""

    axis: str
    methods: tuple[str, ...] = METHODS
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
    pruned: tuple[Head, ...]


def measured_axes(study: Study, settings: ComparisonSettings) -> tuple[str, ...]:
    """The biases to measure: the one pruned for, and the settings' `axes` (scored or not), else all scored ones."""
    prompts = study.prompts
    asked = [prompts.known_axis(axis) for axis in (settings.axis, *(settings.axes or study.axes))]
    return tuple(axis for axis in prompts.axes if axis in asked)


def complete_settings(study: Study, scores: HeadScores, settings: ComparisonSettings) -> ComparisonSettings:
    """The settings with axes and weights filled in, each list in its own order and without repetition."""
    return replace(
        settings,
        methods=tuple(m for m in METHODS if m in settings.methods),
        axes=measured_axes(study, settings),
        alphas=tuple(sorted(set(settings.alphas))),
        gammas=tuple(sorted(set(settings.gammas))),
        iterative_gammas=tuple(sorted(set(settings.iterative_gammas))),
        weights=axis_weights(scores, settings.weights) if "fasp_multi" in settings.methods else None,
    )


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
                if gamma is not None and not fits(alpha, gamma, scores.n_heads):
                    continue
                for seed in range(settings.seeds):
                    pruned = select_heads(
                        scores,
                        method,
                        axis=settings.axis,
                        gamma=gamma or 0.0,
                        alpha=alpha,
                        seed=seed,
                        weights=settings.weights,
                    ).pruned
                    points.append(Configuration(method, gamma, alpha, seed, pruned))
    return points


def choose_gammas(frame: pd.DataFrame, settings: ComparisonSettings) -> dict[tuple[str, float], float]:
    """γ by (method, α): the lowest bias on valid within the perplexity limit, else the lowest perplexity.

    Ties go to the larger γ. Methods that were not measured on valid have no entry.
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


def fits(alpha: float, gamma: float, n_heads: int) -> bool:
    """Whether so large a share can be pruned beside the protected one: α ≤ 1 − γ, also in whole heads."""
    return head_count(alpha, n_heads) + head_count(gamma, n_heads) <= n_heads and alpha + gamma <= 1 + 1e-9
