"""The two cuts of a study as the planner sees them: γ on z_ppl, α on the z_bias of an axis. No torch here."""

from __future__ import annotations

import numpy as np

from .bias import head_effects
from .perplexity import perplexity_effects
from .planner import Ranking, cut_value
from .results import axis_samples, window_samples
from .selection import head_count
from .study import Study


def perplexity_cut(study: Study, *, gamma: float) -> Ranking:
    """All heads by z_ppl, cut below the top ⌊γN⌋."""
    samples = window_samples(study)
    effects = perplexity_effects(samples)
    everyone = np.ones(effects.z.size, bool)
    return Ranking(
        effects.z, effects.gradient_se, effects.correction_se, samples.log_prob.size,
        _measured(samples.knockout, effects.z.size), everyone,
        cut_value(effects.z, everyone, head_count(gamma, effects.z.size)),
    )  # fmt: skip


def bias_cut(study: Study, axis: str, *, scorer: str, protected: np.ndarray, alpha: float) -> tuple[Ranking, float]:
    """The unprotected heads by z_bias, cut below the top ⌊αN⌋; and the reliability of their order."""
    samples = axis_samples(study, axis, scorer=scorer)
    effects = head_effects(samples, protected=protected)
    ranking = Ranking(
        effects.z, effects.gradient_se, effects.correction_se, samples.toxicity.size,
        _measured(samples.knockout, effects.z.size), ~protected,
        cut_value(effects.z, ~protected, head_count(alpha, effects.z.size)),
    )  # fmt: skip
    return ranking, effects.reliability


def protected_heads(ranking: Ranking) -> np.ndarray:
    """The heads above the γ cut, (N) bool."""
    return ranking.z > ranking.cut


def _measured(knockout: np.ndarray | None, n_heads: int) -> np.ndarray:
    return np.zeros(n_heads) if knockout is None else np.isfinite(knockout).sum(0).astype(float)
