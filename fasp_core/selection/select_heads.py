"""select_heads(): which heads to prune, given the scores, by one of `rules.RULES`.

FASP (paper, section 3.2) protects the top ⌊γN⌋ heads by z_ppl; of the others it prunes the ⌊αN⌋ with the highest
z_bias. Every rule takes exactly the number of heads it was asked for, but for `fasp_joint`, which takes at most that
number and says why; ties go to the lowest flat id. Pure functions of scores; no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil, floor, isfinite

import numpy as np

from fasp_core.errors import InputError, nearest
from fasp_core.head import Head, flat_id, head_of, heads_text
from fasp_core.selection.description import ScoresUnder
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.rules import METHODS, RULES, Choice, Rule, Together

NAMED = 5  # unmeasured heads that a note names
BY_HAND = "by_hand"  # what stands in the place of a method where someone named the heads


@dataclass(frozen=True)
class Selection:
    """Which heads are pruned and which are protected, both sorted, and the rule that chose them.

    `gamma` is 0 for rules that protect nothing; `axis`, `weights` ((axis, weight) pairs) and `seed` are None where the
    rule uses none. `unmeasured` are unprotected heads that lack a value the rule ranks by; those are kept. `reason`
    says why fewer heads are pruned than α allows, None where as many are. `scores_under` is what the scores that chose
    are compensated by, and `metric` what they measure bias by; None where none did: by a baseline that uses none, or by
    hand.
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
    unmeasured: tuple[Head, ...] = ()
    reason: str | None = None
    scores_under: ScoresUnder | None = None
    metric: str | None = None

    def __repr__(self) -> str:
        pruned, protected, n = len(self.pruned), len(self.protected), self.n_layers * self.heads_per_layer
        return f"<Selection by {self.method}: {pruned:,} of {n:,} heads pruned, {protected:,} protected>"

    @property
    def note(self) -> str | None:
        """Why fewer heads were chosen than asked for, and which could not be chosen; None where there is neither."""
        return ". ".join(filter(None, (self.reason, self._not_measured()))) or None

    def _not_measured(self) -> str | None:
        if not self.unmeasured:
            return None
        some, more = heads_text(self.unmeasured[:NAMED], ", "), len(self.unmeasured) - NAMED
        which = f"heads {some} and {more} more" if more > 0 else f"head{'s' * (len(self.unmeasured) > 1)} {some}"
        return f"{which} (layer.head): not measured, so never pruned by this rule"

    @property
    def kept(self) -> tuple[Head, ...]:
        """Heads that are neither pruned nor protected, sorted."""
        return tuple(head_of(flat, self.heads_per_layer) for flat in np.flatnonzero(self.roles() == "kept").tolist())

    def roles(self) -> np.ndarray:
        """What becomes of every head, (N,) by flat id: `protected`, `kept` or `pruned`."""
        roles = np.full(self.n_layers * self.heads_per_layer, "kept", dtype="<U9")
        for role, heads in (("protected", self.protected), ("pruned", self.pruned)):
            roles[[flat_id(head, self.heads_per_layer) for head in heads]] = role
        return roles


def head_count(share: float | Decimal, n: int) -> int:
    """⌊share × n⌋ of the *decimal* number: 0.29 × 100 is 29, though the nearest float product is below it.

    Raises InputError if share is not in [0, 1].
    """
    return floor(_decimal("the share", share) * n)


def share_of(count: int, n: int) -> float:
    """A share with six decimals of which `head_count(share, n)` is `count`; n is below a million."""
    return ceil(10**6 * count / n) / 10**6


def select_heads(
    scores: HeadScores,
    method: str = "fasp",
    *,
    axis: str | None = None,
    gamma: float = 0.3,
    alpha: float = 0.1,
    seed: int = 0,
    weights: Mapping[str, float] | None = None,
    budget_ppl: float | None = None,
) -> Selection:
    """The ⌊αN⌋ heads that `method` prunes (`fasp_joint`: at most) and, where it protects, the ⌊γN⌋ highest by z_ppl.

    What a method needs is in the table of `rules`: most of FASP's need an `axis`; `fasp_multi` takes `weights` by axis
    instead (none: all scored axes alike); `random` alone uses `seed`; the baselines protect nothing, whatever γ is.
    `budget_ppl` bounds the set of `fasp_joint` too: by how much perplexity may rise, a share of the intact model's, as
    the sum of z_ppl predicts it.
    A head without a value is kept where it would have to be ranked by it, and no matter elsewhere.
    Raises InputError for an unknown method or axis, γ or α outside [0, 1], α > 1 − γ, and scores that lack what the
    method needs or hold it for fewer heads than are to be protected or pruned.
    """
    if method not in METHODS:
        raise InputError(f"unknown method '{method}'; {nearest(str(method), METHODS)}")
    exact_gamma, exact_alpha = _decimal("gamma", gamma), _decimal("alpha", alpha)
    rule = RULES[method]
    if axis is not None:
        scores.known_axis(axis)
    if budget_ppl is not None and not rule.together:
        raise InputError(
            f"method '{method}' knows no budget of perplexity; choose fasp_joint or fasp_iterative, or search for the "
            "best set: python -m fasp_core search STUDY --budget-ppl"
        )
    if rule.uses_axis and axis is None:
        raise InputError(f"method '{method}' needs an axis; scored: {', '.join(scores.targets)}")
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
    choice = Choice(
        axis=axis or "",
        weights=weights,
        gamma=float(gamma),
        count=count,
        free=free,
        seed=int(seed),
        budget_ppl=budget_ppl,
    )
    found = rule.chooses(scores, choice)
    chosen = found if isinstance(found, Together) else _lowest(found, rule, scores, choice)
    return Selection(
        pruned=_heads(chosen.heads, scores.heads_per_layer),
        protected=_heads(protected, scores.heads_per_layer),
        method=method,
        axis=axis if rule.uses_axis else None,
        gamma=float(gamma) if rule.protects else 0.0,
        alpha=float(alpha),
        n_layers=scores.n_layers,
        heads_per_layer=scores.heads_per_layer,
        seed=seed if rule.uses_seed else None,
        weights=tuple(weights.items()) if rule.uses_weights else None,
        unmeasured=_heads(np.flatnonzero(free & ~chosen.measured), scores.heads_per_layer),
        reason=chosen.reason,
        scores_under=(scores.meta.compensate or "none") if rule.by_scores else None,
        metric=scores.meta.metric if rule.by_scores and (rule.uses_axis or rule.uses_weights) else None,
    )


def selection_by_hand(scores: HeadScores, heads: Iterable[Head], *, axis: str | None = None) -> Selection:
    """The heads that someone names, as a selection of no method; raises InputError for one that does not exist."""
    pruned = tuple(sorted(set(heads)))
    for layer, head in pruned:
        if not (0 <= layer < scores.n_layers and 0 <= head < scores.heads_per_layer):
            raise InputError(
                f"head ({layer}, {head}) does not exist: the model has {scores.n_layers} layers × "
                f"{scores.heads_per_layer} heads, both counted from 0"
            )
    share = len(pruned) / scores.n_heads
    return Selection(pruned, (), BY_HAND, axis, 0.0, share, scores.n_layers, scores.heads_per_layer)


def _lowest(order: np.ndarray, rule: Rule, scores: HeadScores, choice: Choice) -> Together:
    """The unprotected heads that come first in the rule's order, (N,) by flat id."""
    measured = ~np.isnan(order) & ~(np.isnan(scores.importance()) & rule.protects)
    candidates = np.flatnonzero(choice.free & measured)  # sorted, so that ties go to the lowest flat id
    _enough(candidates, choice.free, choice.count, rule.what.format(axis=choice.axis), scores.heads_per_layer)
    pruned = candidates[np.argsort(order[candidates], kind="stable")][: choice.count]
    return Together(tuple(pruned.tolist()), measured, None)


def protected_heads(scores: HeadScores, gamma: float) -> np.ndarray:
    """Flat ids of the ⌊γN⌋ heads with the highest z_ppl, most important first.

    Heads without a z_ppl are never among them. Raises InputError where too few have one.
    """
    importance, count = scores.importance(), head_count(gamma, scores.n_heads)
    measured = np.flatnonzero(~np.isnan(importance))
    _enough(measured, np.ones(scores.n_heads, bool), count, "z_ppl", scores.heads_per_layer)
    return measured[np.argsort(-importance[measured], kind="stable")][:count]


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


def _heads(flat: Iterable[int], heads_per_layer: int) -> tuple[Head, ...]:
    return tuple(head_of(i, heads_per_layer) for i in sorted(flat))


def _enough(measured: np.ndarray, ranked: np.ndarray, count: int, what: str, heads_per_layer: int) -> None:
    """Raise InputError if fewer than `count` of the heads that are ranked, (N,) bool, were measured (flat ids)."""
    if count <= measured.size:
        return
    missing = np.setdiff1d(np.flatnonzero(ranked), measured)
    raise InputError(
        f"{count} heads are wanted and only {measured.size} of {int(ranked.sum())} have a value ({what}), head "
        f"{head_of(missing[0], heads_per_layer)} has none: it was not measured, so it cannot be ranked; measure it, "
        "lower the share, or rank by something else"
    )


def _decimal(name: str, share: float | Decimal) -> Decimal:
    """The decimal number that is written as `share`; raises InputError for anything but a number in [0, 1]."""
    number = isinstance(share, int | float | Decimal | np.floating | np.integer) and not isinstance(share, bool)
    if not number or not 0 <= share <= 1:
        raise InputError(f"{name} must be a number from 0 to 1, not {share!r}")
    return Decimal(str(share))
