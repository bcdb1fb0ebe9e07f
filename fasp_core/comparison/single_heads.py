"""What single-head scores say of the heads that may go: where annealing begins, before sets have been measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fasp_core.comparison.search import FIRST_FACTOR
from fasp_core.comparison.surrogate import HeadEffects
from fasp_core.errors import InputError
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.joint_target import bias_target
from fasp_core.selection.rules import expected_bias
from fasp_core.selection.select_heads import protected_heads


def free_heads(scores: HeadScores, gamma: float) -> np.ndarray:
    """The flat ids, sorted, of the heads that γ leaves unprotected; heads without a z_ppl are left out."""
    known = np.flatnonzero(np.isfinite(scores.importance()))
    return np.setdiff1d(known, protected_heads(scores, gamma))


def effects_by_scores(scores: HeadScores, axis: str, free: np.ndarray, groups: Sequence[str]) -> HeadEffects:
    """What each of the heads `free` (F flat ids) adds, by scores that are shrunk by their errors, as for `fasp_joint`.

    Columns are the `groups`; where no effects on groups are known, as of the mean toxicity, the one column is what is
    added to the bias as a whole. Costs count as much more as heads cost together, and none is below 0. Raises
    InputError for scores without errors, or without the intact model's perplexity.
    """
    if scores.base_ppl is None or scores.relative:
        raise InputError("these scores hold no perplexity of the intact model, so no budget can be kept")
    among = np.isin(np.arange(scores.n_heads), free)
    cost = FIRST_FACTOR * np.log1p(np.maximum(scores.z_ppl[free], 0) / scores.base_ppl.value)
    known = scores.group_effects.get(axis)
    if known is None:
        return HeadEffects(-np.nan_to_num(expected_bias(scores, axis, among, "annealing"))[free, None], cost)
    target = bias_target(known.gaps, known.gaps_se, known.effects, known.effects_se, among & known.measured)
    return HeadEffects(target.effect[free][:, [known.groups.index(group) for group in groups]], cost)
