"""A small study of a tiny model: one axis by likelihood alone, one by both measures."""

from __future__ import annotations

from pathlib import Path

from fasp_core.models.language_model import LanguageModel
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.study.manifest import StudySettings
from fasp_core.study.study import Study
from helpers.log_odds import PAIRS
from helpers.made_once import made_once

BY_LIKELIHOOD, BY_BOTH = "gender_and_sex", "religion"


def score_both_ways(
    lm: LanguageModel, root: Path, name: str = "default", *, toxicity: bool = True, compensated: bool = False
) -> Study:
    """Score both axes by likelihood (`compensated`: also so) and, with `toxicity`, BY_BOTH by toxicity too.

    Scored once a session for each model, unless compensated: what that is fitted on is up to the test.
    """
    if compensated:
        return _scored(lm, root, name, toxicity=toxicity, compensated=True)
    kind = ("both ways", lm.ref, lm.fingerprint, toxicity)
    return made_once(root, name, lambda folder: _scored(lm, folder, name, toxicity=toxicity, compensated=False), *kind)


def _scored(lm: LanguageModel, root: Path, name: str, *, toxicity: bool, compensated: bool) -> Study:
    common = {
        "budget": Budget(samples=12, windows=2, knockout_windows=0, likelihood_reads=24),
        "settings": StudySettings(max_new_tokens=3, window_tokens=24, samples_per_shard=12, windows_per_shard=4),
        "pairs": PAIRS,
        "name": name,
        "root": root,
    }
    study = score_heads(lm, axes=[BY_LIKELIHOOD, BY_BOTH], metrics=["likelihood"], compensated=compensated, **common)
    return score_heads(lm, axes=[BY_BOTH], metrics=["toxicity"], **common) if toxicity else study
