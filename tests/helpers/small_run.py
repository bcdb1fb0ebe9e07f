"""A run of both metrics that takes seconds on a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fasp_core.models.language_model import LanguageModel
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings
from fasp_core.study.study import Study
from fasp_core.toxicity.scorers import open_scorer

SETTINGS = StudySettings(
    max_new_tokens=3, window_tokens=24, samples_per_shard=8, windows_per_shard=4, knockout_samples_per_shard=6
)


def score_small(lm: LanguageModel, root: Path, axis: str, budget: Budget, **more: Any) -> Study:
    """The study `s` in `root`, of one axis, rated by the embedded scorer."""
    return score_heads(
        lm,
        axes=[axis],
        metrics=("toxicity", "likelihood"),
        budget=budget,
        settings=SETTINGS,
        scorer=open_scorer("embedded"),
        name="s",
        root=root,
        **more,
    )
