"""Score tables of numbers given by the test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from fasp_core.selection.description import from_record
from fasp_core.selection.group_effects import GroupEffects
from fasp_core.selection.head_scores import HeadScores

AXIS, OTHER = "gender_and_sex", "religion"


def make_scores(ppl, bias, heads_per_layer: int = 1, *, se=np.nan, ppl_se=np.nan, meta=None, **extra) -> HeadScores:
    """Scores of one axis; `meta` is a record as files have it, `extra` are further columns."""
    n = len(ppl)
    frame = {
        "layer": np.arange(n) // heads_per_layer,
        "head": np.arange(n) % heads_per_layer,
        "z_ppl": np.asarray(ppl, float),
        "z_ppl_se": np.broadcast_to(ppl_se, n).astype(float),
        f"z_bias.{AXIS}": np.asarray(bias, float),
        f"z_bias_se.{AXIS}": np.broadcast_to(se, n).astype(float),
        **extra,
    }
    return HeadScores(pd.DataFrame(frame), n // heads_per_layer, heads_per_layer, *from_record(meta or {}))


def flat(heads, heads_per_layer: int = 1) -> list[int]:
    return [layer * heads_per_layer + head for layer, head in heads]


def ranked(values, ids) -> list[int]:
    """Ids by falling value, ties by id: a sort written out, independent of numpy's."""
    return sorted(ids, key=lambda i: (-values[i], i))


def with_groups(scores: HeadScores, gaps, effects, *, gaps_se=0.0, effects_se=0.0) -> HeadScores:
    """The scores with what removing each head adds to each group's gap (N, G), for `fasp_joint`."""
    gaps, effects = np.asarray(gaps, float), np.asarray(effects, float)
    names = tuple(f"group {g}" for g in range(gaps.size))
    errors = np.broadcast_to(gaps_se, gaps.shape), np.broadcast_to(effects_se, effects.shape)
    return replace(scores, group_effects={AXIS: GroupEffects(names, gaps, errors[0], effects, errors[1])})
