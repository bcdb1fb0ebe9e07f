"""select_heads(): which heads to prune, given the scores, by one of `rules.RULES`.

FASP (paper, section 3.2) protects the top ⌊γN⌋ heads by z_ppl; of the others it prunes the ⌊αN⌋ with the highest
z_bias. Every rule takes exactly the number of heads it was asked for; ties go to the lowest flat id. Pure functions of
scores; no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import floor, isfinite

import numpy as np

from .errors import InputError, nearest
from .head_scores import HeadScores
from .rules import METHODS, RULES, Choice

Head = tuple[int, int]


@dataclass(frozen=True)
class Selection:
    """Which heads are pruned and which are protected, both sorted, and the rule that chose them.

    `gamma` is 0 for rules that protect nothing; `axis`, `weights` ((axis, weight) pairs) and `seed` are None where the
    rule uses none.
    """

    pruned: tuple[Head, ...]
    protected: tuple[Head, ...]
    method: str
    axis: str | None
    gamma: float
    alpha: float
    n_layers: int
    heads_per_layer: int
    seed: int | None = None
    weights: tuple[tuple[str, float], ...] | None = None

    @property
    def kept(self) -> tuple[Head, ...]:
        """Heads that are neither pruned nor protected, sorted."""
        return tuple(divmod(int(flat), self.heads_per_layer) for flat in np.flatnonzero(self.roles() == "kept"))

    def roles(self) -> np.ndarray:
        """What becomes of every head, (N,) by flat id: `protected`, `kept` or `pruned`."""
        roles = np.full(self.n_layers * self.heads_per_layer, "kept", dtype="<U9")
        for role, heads in (("protected", self.protected), ("pruned", self.pruned)):
            roles[[layer * self.heads_per_layer + head for layer, head in heads]] = role
        return roles


def head_count(share: float | Decimal, n: int) -> int:
    """⌊share × n⌋ of the *decimal* number: 0.29 × 100 is 29, though the nearest float product is below it.

    Raises InputError if share is not in [0, 1].
    """
    return floor(_decimal("the share", share) * n)


def select_heads(
    scores: HeadScores, method: str = "fasp", *, axis: str | None = None, gamma: float = 0.3, alpha: float = 0.1,
    seed: int = 0, weights: Mapping[str, float] | None = None,
) -> Selection:  # fmt: skip
    """The ⌊αN⌋ heads that `method` prunes and, for rules that protect, the ⌊γN⌋ highest by z_ppl.

    What a method needs is in the table of `rules`: most of FASP's need an `axis`; `fasp_multi` takes `weights` by axis
    instead (none: all scored axes alike); `random` alone uses `seed`; the baselines protect nothing, whatever γ is.
    Raises InputError for an unknown method or axis, γ or α outside [0, 1], α > 1 − γ, and scores that lack what the
    method needs: a head without a value is refused where it would have to be ranked by it, and no matter elsewhere.
    """
    if method not in METHODS:
        raise InputError(f"unknown method '{method}'; {nearest(str(method), METHODS)}")
    exact_gamma, exact_alpha = _decimal("gamma", gamma), _decimal("alpha", alpha)
    rule = RULES[method]
    if axis is not None:
        scores.known_axis(axis)
    if rule.uses_axis and axis is None:
        raise InputError(f"method '{method}' needs an axis; scored: {', '.join(scores.axes)}")
    if rule.uses_seed and (not isinstance(seed, int | np.integer) or seed < 0):
        raise InputError(f"seed must be a whole number of at least 0, not {seed!r}")
    weights = axis_weights(scores, weights) if rule.uses_weights else {}
    if rule.protects and exact_gamma + exact_alpha > 1:
        raise InputError(
            f"alpha {alpha} is more than 1 − gamma = {1 - exact_gamma}: gamma {gamma} protects too many heads to prune "
            "that share; lower one of them"
        )
    protected = protected_heads(scores, gamma) if rule.protects else np.empty(0, int)
    free = np.ones(scores.n_heads, bool)
    free[protected] = False
    count = head_count(alpha, scores.n_heads)
    choice = Choice(axis=axis, weights=weights, gamma=float(gamma), count=count, free=free, seed=int(seed))
    order = rule.order(scores, choice)
    _measured(np.where(free, order, 0), rule.what.format(axis=axis), scores.heads_per_layer)  # only these are ranked
    candidates = np.flatnonzero(free)  # sorted, so that ties go to the lowest flat id
    pruned = candidates[np.argsort(order[candidates], kind="stable")][:count]
    return Selection(
        pruned=_heads(pruned, scores.heads_per_layer), protected=_heads(protected, scores.heads_per_layer),
        method=method, axis=axis if rule.uses_axis else None,
        gamma=float(gamma) if rule.protects else 0.0, alpha=float(alpha),
        n_layers=scores.n_layers, heads_per_layer=scores.heads_per_layer, seed=seed if rule.uses_seed else None,
        weights=tuple(weights.items()) if rule.uses_weights else None,
    )  # fmt: skip


def protected_heads(scores: HeadScores, gamma: float) -> np.ndarray:
    """Flat ids of the ⌊γN⌋ heads with the highest z_ppl, most important first; raises InputError where one has none."""
    importance = _measured(scores.importance(), "z_ppl", scores.heads_per_layer)
    return np.argsort(-importance, kind="stable")[: head_count(gamma, scores.n_heads)]


def axis_weights(scores: HeadScores, weights: Mapping[str, float] | None = None) -> dict[str, float]:
    """The weights of `fasp_multi`, in the order of the scored axes; without any, all axes weigh 1.

    Raises InputError for an axis that was not scored, a weight below 0, and where all are 0.
    """
    if weights is None:
        weights = dict.fromkeys(scores.axes, 1.0)
    for axis, weight in weights.items():
        scores.known_axis(axis)
        number = isinstance(weight, int | float | np.floating | np.integer) and not isinstance(weight, bool)
        if not number or not (isfinite(weight) and weight >= 0):
            raise InputError(f"the weight of {axis} must be a number of at least 0, not {weight!r}")
    if not any(weights.values()):
        raise InputError(f"fasp_multi needs an axis with a weight above 0; scored: {', '.join(scores.axes)}")
    return {axis: float(weights[axis]) for axis in scores.axes if weights.get(axis)}


def _heads(flat: np.ndarray, heads_per_layer: int) -> tuple[Head, ...]:
    return tuple(divmod(i, heads_per_layer) for i in np.sort(flat).tolist())


def _measured(values: np.ndarray, what: str, heads_per_layer: int) -> np.ndarray:
    missing = np.flatnonzero(np.isnan(values))
    if missing.size:
        more = f" (and {missing.size - 1} more)" if missing.size > 1 else ""
        raise InputError(
            f"head {divmod(int(missing[0]), heads_per_layer)}{more} has no {what}: it was not measured, so heads "
            "cannot be ranked by it; measure it or rank by something else"
        )
    return values


def _decimal(name: str, share: float | Decimal) -> Decimal:
    """The decimal number that is written as `share`; raises InputError if it is no number in [0, 1]."""
    number = isinstance(share, int | float | Decimal | np.floating | np.integer) and not isinstance(share, bool)
    if not number or not 0 <= share <= 1:
        raise InputError(f"{name} must be a number from 0 to 1, not {share!r}")
    return Decimal(str(share))
