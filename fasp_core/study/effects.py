"""From a study's shards to the effects of heads on one axis, by the best estimator that its texts allow. No torch here.

Texts with advantages (see `stats.advantages`) tell each head's effect with far less noise than log-ratios do. A study
that was made before there were any, or whose texts do not follow the model's own distribution, is scored by its
log-ratios. So are ratings that were added later without a model.
"""

from __future__ import annotations

import itertools
from functools import reduce
from operator import add

import numpy as np

from fasp_core.stats.axis_sums import AxisSums
from fasp_core.stats.bias import HeadEffects, head_effects
from fasp_core.stats.prompt_sums import PromptSums
from fasp_core.study.folder import StudyFolder
from fasp_core.study.shard_names import ADVANTAGE, GRADIENT, SAMPLES, TOXICITY, shard_name, shard_of
from fasp_core.study.shard_tables import table_contributions, table_sums
from fasp_core.study.views import (
    AxisGroups,
    axis_groups,
    axis_samples,
    known_scorer,
    sample_frame,
    unbroken_shards,
)

WORTH = 4  # texts by log-ratios that one by advantages is worth at least (docs/estimators.md)


def axis_effects(
    study: StudyFolder, axis: str, *, scorer: str | None = None, protected: np.ndarray | None = None
) -> tuple[HeadEffects, int]:
    """The effect of each head on the bias of an axis, and the number of texts behind it."""
    sums, unbiased = _sums(study, axis, scorer)
    return head_effects(sums, unbiased=unbiased, protected=protected), int(sums.n.sum())


def axis_sums(study: StudyFolder, axis: str, *, scorer: str | None = None) -> AxisSums:
    """The sums over prompts that the effects of heads on an axis are estimated from."""
    return _sums(study, axis, scorer)[0]


def log_ratio_texts(study: StudyFolder, axis: str) -> int:
    """How many texts of an axis have log-ratios by gradient."""
    return sum(study.manifest.shards[name].rows for name in study.shard_names(GRADIENT, axis))


def discount(study: StudyFolder, axis: str, *, scorer: str | None = None) -> float | None:
    """λ of the advantages that an axis is scored by; None where it is scored by log-ratios."""
    scorer = known_scorer(study, scorer)
    return advantage_discount(study, axis, scorer) if _tells_more(study, axis, scorer) else None


def advantage_discount(study: StudyFolder, axis: str, scorer: str) -> float:
    """λ of the advantages of an axis, of which there are some."""
    if name := study.sums_shard(axis, scorer):
        return table_sums(study.read_shard(name))[0]
    return table_contributions(study.read_shard(advantage_shards(study, axis, scorer)[0]))[0]


def advantage_shards(study: StudyFolder, axis: str, scorer: str) -> list[str]:
    """The shards of advantages that were not folded into sums, up to the first that is missing."""
    numbers = itertools.count(study.n_folded(axis, scorer))
    names = (shard_name(ADVANTAGE, axis, number, scorer=scorer) for number in numbers)
    return list(itertools.takewhile(study.has_shard, names))


def contribution_sums(study: StudyFolder, axis: str, scorer: str) -> PromptSums:
    """The sums over prompts of all texts that have advantages: those that were folded, and the shards after them."""
    known, name = axis_groups(study, axis), study.sums_shard(axis, scorer)
    folded = [] if name is None else [table_sums(study.read_shard(name))[1]]
    return reduce(add, folded + [_prompt_sums(study, name, known) for name in advantage_shards(study, axis, scorer)])


def _sums(study: StudyFolder, axis: str, scorer: str | None) -> tuple[AxisSums, AxisSums | None]:
    """The sums to score by, and those of the unbiased estimator to compare them with, where there are two."""
    scorer = known_scorer(study, scorer)
    if not _tells_more(study, axis, scorer):
        return AxisSums.of(axis_samples(study, axis, scorer=scorer)), None
    known, sums = axis_groups(study, axis), contribution_sums(study, axis, scorer)
    discounted, unbiased = (
        sums.axis_sums(name, known.shares.to_numpy(), tuple(known.shares.index)) for name in ("discounted", "unbiased")
    )
    if shards := unbroken_shards(study, GRADIENT, axis):
        samples = axis_samples(study, axis, scorer=scorer).first(int(sums.n.sum()))
        ids = sample_frame(study, axis, scorer=scorer, shards=len(shards))["prompt_id"]
        ids = ids.iloc[: samples.toxicity.size].unique()
        discounted = discounted.with_exact(AxisSums.of(samples), np.searchsorted(sums.prompt, np.sort(ids)))
    return discounted, unbiased


def _prompt_sums(study: StudyFolder, name: str, known: AxisGroups) -> PromptSums:
    """The sums over the texts of one shard of advantages."""
    made = shard_of(name)
    samples = study.read_shard(shard_name(SAMPLES, made.stream, made.shard))
    toxicity = study.read_shard(shard_name(TOXICITY, made.stream, made.shard, scorer=made.scorer))
    _, discounted, unbiased = table_contributions(study.read_shard(name))
    ids = samples["prompt_id"].to_numpy()
    group = known.codes(known.prompts.set_index("prompt_id")["group"].loc[ids])
    contributions = {"discounted": discounted, "unbiased": unbiased}
    return PromptSums.of_texts(ids, group, toxicity["toxicity"].to_numpy(), contributions)


def _tells_more(study: StudyFolder, axis: str, scorer: str) -> bool:
    """Whether there are advantages, and log-ratios, of more texts, do not tell more."""
    texts = sum(study.manifest.shards[name].rows for name in advantage_shards(study, axis, scorer))
    if name := study.sums_shard(axis, scorer):
        texts += int(table_sums(study.read_shard(name))[1].n.sum())
    return texts > 0 and WORTH * texts >= log_ratio_texts(study, axis)
