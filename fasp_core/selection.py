"""select_heads(): which heads to prune, given the scores. FASP (paper, section 3.2) and its score-based baselines.

FASP protects the top ⌊γN⌋ heads by z_ppl; of the others it prunes the ⌊αN⌋ with the highest z_bias. Every rule takes
exactly the number of heads it was asked for; ties go to the lowest flat id. Pure functions of scores; no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from math import floor

import numpy as np

from .errors import InputError, nearest
from .head_scores import HeadScores

Head = tuple[int, int]


@dataclass(frozen=True)
class Selection:
    """Which heads are pruned and which are protected, both sorted, and the rule that chose them.

    `gamma` is 0 for rules that protect nothing; `axis` is None, and `seed` too, where the rule uses none.
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


@dataclass(frozen=True)
class Rule:
    """A score-based rule: `order(scores, axis)` gives (N,) values, the lowest are pruned first."""

    order: Callable[[HeadScores, str], np.ndarray]
    what: str  # what it ranks by, for messages; {axis} is filled in
    uses_axis: bool = False
    protects: bool = False  # whether γ applies


RULES = {
    "fasp": Rule(lambda s, axis: -s.drive(axis), "z_bias of {axis}", uses_axis=True, protects=True),
    "bias_only": Rule(lambda s, axis: -s.drive(axis), "z_bias of {axis}", uses_axis=True),
    "ppl_only": Rule(lambda s, axis: s.importance(), "z_ppl"),
    "magnitude_l2": Rule(lambda s, axis: s.column("magnitude_l2"), "magnitude_l2"),
    "mask_gradient_l2": Rule(lambda s, axis: s.column("mask_gradient_l2"), "mask_gradient_l2"),
}
METHODS = (*RULES, "random")


def head_count(share: float | Decimal, n: int) -> int:
    """⌊share × n⌋ of the *decimal* number: 0.29 × 100 is 29, though the nearest float product is below it.

    Raises InputError if share is not in [0, 1].
    """
    return floor(_decimal("the share", share) * n)


def select_heads(
    scores: HeadScores, method: str = "fasp", *, axis: str | None = None, gamma: float = 0.3, alpha: float = 0.1,
    seed: int = 0,
) -> Selection:  # fmt: skip
    """The ⌊αN⌋ heads that `method` prunes and, for `fasp`, the ⌊γN⌋ it protects.

    `fasp` and `bias_only` need an `axis`; `random` alone uses `seed`; the baselines protect nothing, whatever γ is.
    Raises InputError for an unknown method or axis, γ or α outside [0, 1], α > 1 − γ, and scores that lack a value.
    """
    if method not in METHODS:
        raise InputError(f"unknown method '{method}'; {nearest(str(method), METHODS)}")
    exact_gamma, exact_alpha = _decimal("gamma", gamma), _decimal("alpha", alpha)
    rule = RULES.get(method)
    if axis is not None:
        scores.known_axis(axis)
    if rule is None:
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise InputError(f"seed must be a whole number of at least 0, not {seed!r}")
        order = np.random.default_rng(seed).permutation(scores.n_heads)
    else:
        if rule.uses_axis and axis is None:
            raise InputError(f"method '{method}' needs an axis; scored: {', '.join(scores.axes)}")
        order = _measured(rule.order(scores, axis), rule.what.format(axis=axis), scores.heads_per_layer)
    protects = rule is not None and rule.protects
    if protects and exact_gamma + exact_alpha > 1:
        raise InputError(
            f"alpha {alpha} is more than 1 − gamma = {1 - exact_gamma}: gamma {gamma} protects too many heads to prune "
            "that share; lower one of them"
        )
    protected = np.empty(0, int)
    if protects:
        importance = _measured(scores.importance(), "z_ppl", scores.heads_per_layer)
        protected = np.argsort(-importance, kind="stable")[: head_count(gamma, scores.n_heads)]
    free = np.setdiff1d(np.arange(scores.n_heads), protected)  # sorted, so that ties go to the lowest flat id
    pruned = free[np.argsort(order[free], kind="stable")][: head_count(alpha, scores.n_heads)]
    return Selection(
        pruned=_heads(pruned, scores.heads_per_layer), protected=_heads(protected, scores.heads_per_layer),
        method=method, axis=axis if rule is not None and rule.uses_axis else None,
        gamma=float(gamma) if protects else 0.0, alpha=float(alpha),
        n_layers=scores.n_layers, heads_per_layer=scores.heads_per_layer, seed=seed if rule is None else None,
    )  # fmt: skip


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
