"""Fold what every text adds to the scores into sums over prompts, so that a study does not grow with its texts.

A shard of advantages holds two numbers for each text and head: nine tenths of a study's size, and of what opening it
reads. The scores need only their sums over each prompt, and come out the same to rounding. Texts and their toxicity
stay, so that another scorer can rate them and pages can show them. What a single text adds is gone: to weigh the same
texts by another λ, they must be measured again. Scoring goes on after the last shard that was folded. Log-ratios stay:
an axis has those of its first texts only.
"""

from __future__ import annotations

from dataclasses import dataclass

from fasp_core.study.effects import advantage_discount, advantage_shards, contribution_sums
from fasp_core.study.folder import StudyFolder
from fasp_core.study.shard_names import ADVANTAGE, SUMS, shard_name, shard_of
from fasp_core.study.shard_tables import sums_table
from fasp_core.study.views import prompts_cut


@dataclass(frozen=True)
class Compacted:
    """What `compact` did: `texts` folded, and the bytes of all shards `before` and `after`."""

    texts: int
    before: int
    after: int


def compact(study: StudyFolder) -> Compacted:
    """Fold all shards of advantages, of every axis and scorer; a second time does nothing.

    Killed at any moment, it leaves a study whose scores are the same. Raises InputError for imported scores, for
    damaged shards, and while a process measures the study.
    """
    study.require_model()
    with study.writing(), study.remembering():
        before = _bytes(study)
        texts = sum(_fold(study, axis, scorer) for axis in study.axes for scorer in study.manifest.scorers)
        return Compacted(texts, before, _bytes(study))


def _fold(study: StudyFolder, axis: str, scorer: str) -> int:
    """Fold the shards of one axis and scorer; how many texts they hold. The sums are whole before one is deleted."""
    names, texts = advantage_shards(study, axis, scorer), 0
    if names:
        texts = sum(study.manifest.shards[name].rows for name in names)
        sums, lam = contribution_sums(study, axis, scorer), advantage_discount(study, axis, scorer)
        last = shard_of(names[-1]).shard
        table = sums_table(sums, lam=lam, prompts_cut=prompts_cut(study, axis, last=last))
        study.write_shard(shard_name(SUMS, axis, last, scorer=scorer), table)
    # also what an earlier time was killed before it could delete
    old = study.shard_names(SUMS, axis, scorer=scorer)[:-1]
    folded = study.n_folded(axis, scorer)
    old += [name for name in study.shard_names(ADVANTAGE, axis, scorer=scorer) if shard_of(name).shard < folded]
    if old:
        study.drop_shards(old)
    return texts


def _bytes(study: StudyFolder) -> int:
    return sum(record.bytes for record in study.manifest.shards.values())
