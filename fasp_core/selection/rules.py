"""The rules that `select_heads` ranks heads by: FASP (paper, section 3.2), its baselines, and four of our own.

| rule | prunes first | γ | needs |
| --- | --- | --- | --- |
| `fasp` | highest z_bias of the axis | yes | |
| `bias_only` | the same | no | |
| `ppl_only` | lowest z_ppl | no | |
| `magnitude_l2` | smallest weights | no | weights, see `magnitude` |
| `mask_gradient_l2` | smallest gradient of the loss with respect to the gate (Michel et al. 2019) | no | |
| `activation_difference` | most different outputs between groups (after DiffHeads, see `activation`) | no | a study |
| `random` | a seeded permutation | no | |
| `fasp_robust` | highest *expected* z_bias, given z_bias and its error (see `shrinkage`) | yes | standard errors |
| `fasp_joint` | the set that is expected to leave the least bias of the axis (see `joint`) | yes | a study's scores |
| `fasp_multi` | highest expected weighted share of several biases | yes | standard errors |
| `fasp_iterative` | the order found by pruning in stages and scoring again (see `iterative`) | yes | a stored order |

A rule gives every head a value, the lowest are pruned first; `fasp_joint` alone chooses the set as a whole, which may
be smaller than asked for. Pure functions of scores; no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fasp_core.errors import InputError
from fasp_core.selection.head_scores import BIAS_WITHOUT, HeadScores
from fasp_core.selection.joint import choose_jointly
from fasp_core.selection.joint_target import bias_target
from fasp_core.stats.shrinkage import posterior_mean
from fasp_core.stats.target import MEAN_TOXICITY


@dataclass(frozen=True)
class Choice:
    """What a rule may look at besides the scores: `free` (N) bool are the heads that γ leaves unprotected."""

    axis: str  # empty for a rule that uses none
    weights: Mapping[str, float]
    gamma: float
    count: int  # how many heads are to be pruned
    free: np.ndarray
    seed: int
    budget_ppl: float | None = None  # of a set that is chosen together: the rise of perplexity, a share


@dataclass(frozen=True, eq=False)
class Together:
    """A set chosen as a whole: flat ids, which heads were `measured` (N) bool, and why it is smaller than asked for."""

    heads: tuple[int, ...]
    measured: np.ndarray
    reason: str | None


@dataclass(frozen=True)
class Rule:
    """`chooses(scores, choice)` gives (N,) values, the lowest are pruned first, or a set that was chosen `Together`."""

    chooses: Callable[[HeadScores, Choice], np.ndarray | Together]
    what: str  # what it ranks by, for messages; {axis} is filled in
    uses_axis: bool = False
    uses_weights: bool = False
    uses_seed: bool = False
    protects: bool = False  # whether γ applies
    by_scores: bool = True  # whether it ranks by z_ppl, z_bias or what they are made of
    together: bool = False  # whether it chooses a set as a whole, which may be smaller than asked for


def gamma_key(gamma: float) -> str:
    """How stored orders name their γ: the shortest decimal, `0.3`."""
    return f"{float(gamma):g}"


def _fasp(scores: HeadScores, choice: Choice) -> np.ndarray:
    return -scores.drive(choice.axis)


def _robust(scores: HeadScores, choice: Choice) -> np.ndarray:
    return -expected_bias(scores, choice.axis, choice.free, "fasp_robust")


def _multi(scores: HeadScores, choice: Choice) -> np.ndarray:
    """− Σ over axes of weight × expected z_bias ÷ bias of the intact model.

    Dividing by the bias makes axes of different scale comparable: an axis with more groups has a larger sum of gaps,
    and larger z_bias with it, though it is not worse. What is added up is the *share* of each bias that a head drives.
    Expected values, not measured ones: an axis that was measured badly must not drown the others in its noise.
    """
    total = np.zeros(scores.n_heads)
    for axis, weight in choice.weights.items():
        total += weight * expected_bias(scores, axis, choice.free, "fasp_multi") / intact_bias(scores, axis)
    return -total


def _iterative(scores: HeadScores, choice: Choice) -> np.ndarray:
    gamma = gamma_key(choice.gamma)
    order = scores.orders.get(choice.axis, {}).get(gamma, ())
    if len(order) < choice.count:
        known = f"only {len(order)} heads long" if order else "not known"
        alpha, study = math.ceil(100 * choice.count / scores.n_heads) / 100, scores.meta.study or "STUDY"
        finds = f"compare {study} --methods fasp_iterative --axis {choice.axis} --gammas {gamma} --alphas {alpha:g}"
        if scores.meta.metric == "likelihood":
            finds += " --metric likelihood"
        under = scores.meta.compensate
        finds += f" --compensate {under}" if under else " (with the same --compensate)"
        raise InputError(
            f"the order of fasp_iterative for {choice.axis} at gamma {gamma} is {known}; the model finds it: python -m "
            f"fasp_core {finds}"
        )
    usable = [head for head in order if choice.free[head]]
    if len(usable) < choice.count:
        raise InputError(
            f"{len(order) - len(usable)} heads of the order of fasp_iterative for {choice.axis} at gamma {gamma} are "
            f"protected by now, since more was measured; prune at most {len(usable)} heads by it (a lower alpha)"
        )
    values = np.full(scores.n_heads, float(scores.n_heads))
    values[usable] = np.arange(len(usable))
    return values


def _joint(scores: HeadScores, choice: Choice) -> Together:
    known = scores.group_effects.get(choice.axis)
    if choice.axis == MEAN_TOXICITY:
        raise InputError(
            "fasp_joint closes gaps between groups, and the mean toxicity has none; choose fasp_robust, which is best "
            "where effects add up"
        )
    if known is not None and np.isnan(known.gaps_se).any():
        raise InputError(
            f"a group of {choice.axis} has a single prompt, so nothing tells how well its gap is known; fasp_joint "
            "needs that of every group: give it more prompts, or choose another method"
        )
    if known is None:
        raise InputError(
            "fasp_joint weighs what each head does to every group, which only a study's own scores hold; score the "
            "model with this program, or choose another method"
        )
    measured = known.measured & ~np.isnan(scores.importance())
    free = choice.free & measured
    target = bias_target(known.gaps, known.gaps_se, known.effects, known.effects_se, free)
    bound: dict[str, Any] = {}
    if choice.budget_ppl is not None:
        if scores.base_ppl is None or scores.relative:
            raise InputError("these scores hold no perplexity of the intact model, so no budget can be kept")
        # a head that seems to harm perplexity costs nothing, and pays for no other
        cost = np.maximum(scores.z_ppl, 0.0)
        bound = {"z_ppl": cost, "most_ppl_rise": choice.budget_ppl * scores.base_ppl.value}
    found = choose_jointly(target, free, min(choice.count, int(free.sum())), **bound)
    return Together(found.heads, measured, found.why if len(found.heads) < choice.count else None)


def _activation(scores: HeadScores, choice: Choice) -> np.ndarray:
    column = f"activation_difference.{choice.axis}"
    if column not in scores.frame:
        raise InputError(
            f"these scores hold no activation_difference of {choice.axis}; for an axis of a study run the same `score` "
            "again to add it, or choose another method"
        )
    return -scores.column(column)


def _random(scores: HeadScores, choice: Choice) -> np.ndarray:
    return np.random.default_rng(choice.seed).permutation(scores.n_heads).astype(float)


def expected_bias(scores: HeadScores, axis: str, free: np.ndarray, method: str) -> np.ndarray:
    """E[true z_bias | measured], (N); the prior is fitted on the heads of `free`.

    Raises InputError where no standard errors are known.
    """
    z, se = scores.z_bias(axis), scores.z_bias_se(axis)
    missing = free & np.isnan(se) & ~np.isnan(z)
    if missing.any():
        raise InputError(
            f"{method} weighs z_bias of {axis} by its standard error, and these scores hold none for "
            f"{int(missing.sum())} of {se.size} heads; score with this program, or choose method fasp"
        )
    known = free & ~np.isnan(z)
    if not known.any():
        return z
    filled = np.nan_to_num(z), np.where(np.isnan(se), np.nanmedian(se[known]), se)
    return np.where(np.isnan(z), np.nan, posterior_mean(*filled, known))


def intact_bias(scores: HeadScores, axis: str) -> float:
    """Bias of the intact model; where the scores do not tell, that without the median head, which hardly differs."""
    known = scores.base_bias(axis)
    bias = None if known is None else known.value
    if bias is None and BIAS_WITHOUT + axis in scores.frame:
        bias = float(np.nanmedian(scores.column(BIAS_WITHOUT + axis)))
    if bias is None or not bias > 0:
        raise InputError(
            f"fasp_multi compares axes by their share of the intact model's bias, which these scores do not hold for "
            f"{axis}; score with this program, or choose method fasp for one axis"
        )
    return bias


RULES = {
    "fasp": Rule(_fasp, "z_bias of {axis}", uses_axis=True, protects=True),
    "fasp_robust": Rule(_robust, "z_bias of {axis}", uses_axis=True, protects=True),
    "fasp_joint": Rule(_joint, "effects on the groups of {axis}", uses_axis=True, protects=True, together=True),
    "fasp_multi": Rule(_multi, "z_bias of every axis", uses_weights=True, protects=True),
    "fasp_iterative": Rule(_iterative, "place in the order", uses_axis=True, protects=True),
    "bias_only": Rule(_fasp, "z_bias of {axis}", uses_axis=True),
    "ppl_only": Rule(lambda s, _: s.importance(), "z_ppl"),
    "magnitude_l2": Rule(lambda s, _: s.column("magnitude_l2"), "magnitude_l2", by_scores=False),
    "mask_gradient_l2": Rule(lambda s, _: s.column("mask_gradient_l2"), "mask_gradient_l2", by_scores=False),
    "activation_difference": Rule(_activation, "activation_difference of {axis}", uses_axis=True, by_scores=False),
    "random": Rule(_random, "random order", uses_seed=True, by_scores=False),
}
METHODS = tuple(RULES)
