"""What units, such as identity terms, do to a value beside what their contexts do to all units alike. Numpy only.

Each reading of a unit has a context, a template with its stems, which other units are read in too:
`value = unit + context + noise`, by least squares. Taking away the mean of each context instead would shrink what a
unit differs by, since it is part of that mean: with two groups by half. Groups would then look surer than they are.

Letters: n readings, U units, G groups, C contexts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class UnitEffects:
    """`effect` (U) of each unit, around 0; `readings` (U) it has; `noise` (G): the variance of each group's mean effect
    that comes from single readings, which more readings of the same units would shrink."""

    effect: np.ndarray
    readings: np.ndarray
    noise: np.ndarray


def unit_effects(value: np.ndarray, unit: np.ndarray, context: np.ndarray, group: np.ndarray) -> UnitEffects:
    """Effects of the units from readings `value` (n) of `unit` (n) in `context` (n), both codes; `group` (U) of units.

    Differences within a group are known less well than those between groups, because units of one group meet in a
    context only by way of others. They are drawn together by as much, so that they tell how far the mean of a group of
    such units lies from that of another by chance.
    """
    readings, contexts = np.bincount(unit), np.bincount(context)
    together = np.zeros((readings.size, contexts.size))  # (U, C)
    np.add.at(together, (unit, context), 1.0)
    means = np.bincount(context, value) / contexts
    inverse = np.linalg.pinv(np.diag(readings.astype(float)) - (together / contexts) @ together.T, hermitian=True)
    effect = inverse @ (np.bincount(unit, value) - together @ means)
    rest = value - effect[unit]
    rest = rest - (np.bincount(context, rest) / contexts)[context]
    free = value.size - contexts.size - np.linalg.matrix_rank(inverse, hermitian=True)
    covariance = inverse * ((rest**2).sum() / free if free > 0 else 0.0)  # of the effects, by single readings
    averages = (group == np.arange(group.max() + 1)[:, None]) * readings  # (G, U)
    averages = averages / averages.sum(1, keepdims=True)
    apart = np.eye(readings.size) - averages[group]  # from the group's mean, (U, U)
    centred = averages - averages.mean(0)
    noise = np.diag(centred @ covariance @ centred.T) * len(averages) / (len(averages) - 1)
    # What the weighted deviations of a group's units sum to: their own variance times `own`, and `lost` by readings.
    weight, units = averages.sum(0) ** 2, np.bincount(group)
    lost = np.bincount(group, weight * np.diag(apart @ covariance @ apart.T))
    own = np.bincount(group, weight * np.diag(apart @ apart.T))
    deviation = apart @ effect
    true = max(0.0, ((weight * deviation**2).sum() - lost.sum()) / own.sum()) if own.any() else 0.0
    wanted = (true * np.bincount(group, weight) + noise) * (units - 1) / units  # of the groups' means
    seen = true * own + lost
    drawn = np.minimum(1.0, np.sqrt(np.divide(wanted, seen, out=np.ones_like(seen), where=seen > 0)))
    return UnitEffects(averages[group] @ effect + drawn[group] * deviation, readings, noise)
