"""What removing each head does to every group of an axis: `fasp_joint` chooses by it. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class GroupEffects:
    """One axis; the gap of a group is μ − μ_g, in units of the bias.

    `gaps` (G) are those of the intact model, `effects` (N, G) what removing each head adds to them, and the others
    their standard errors; NaN: not measured.
    """

    groups: tuple[str, ...]
    gaps: np.ndarray
    gaps_se: np.ndarray
    effects: np.ndarray
    effects_se: np.ndarray

    @property
    def measured(self) -> np.ndarray:
        """Which heads have an effect and an error for every group, (N) bool."""
        return np.isfinite(self.effects).all(1) & np.isfinite(self.effects_se).all(1)
