"""Effects of units beside those of contexts: by hand, against lstsq, and as a test of groups without a difference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fasp_core.data.order import each_prompt_once, in_passes
from fasp_core.stats.omnibus import omnibus_test
from fasp_core.stats.unit_effects import unit_effects


def test_by_hand():
    """Two groups of two units, each read in both contexts: units 1, 3, 5 and 9, contexts that add 10 and −20."""
    units, contexts = np.repeat([0, 1, 2, 3], 2), np.tile([0, 1], 4)
    value = np.array([1.0, 3, 5, 9])[units] + np.array([10.0, -20])[contexts]
    found = unit_effects(value, units, contexts, np.array([0, 0, 1, 1]))
    assert found.effect == pytest.approx(np.array([1.0, 3, 5, 9]) - 4.5)  # without noise nothing is drawn together
    assert found.readings.tolist() == [2, 2, 2, 2]
    assert found.noise == pytest.approx([0, 0])


def test_group_means_are_those_of_least_squares():
    rng = np.random.default_rng(3)
    unit, context = rng.integers(12, size=90), rng.integers(25, size=90)
    group, value = np.repeat([0, 1, 2], 4), rng.normal(size=90)
    design = np.concatenate([np.eye(12)[unit], np.eye(25)[context]], axis=1)
    expected = np.linalg.lstsq(design, value, rcond=None)[0][:12]
    found = unit_effects(value, unit, context, group)
    n = np.bincount(unit)
    means = [np.bincount(group, n * effect) / np.bincount(group, n) for effect in (found.effect, expected)]
    assert means[0] - means[0].mean() == pytest.approx(means[1] - means[1].mean())


def made_readings(groups: int, units: int, templates: int, readings: int):
    """Codes of unit and context of each reading, in the order in which studies read, and the group of each unit."""
    names = [(f"g{g}", f"g{g}u{u}", f"t{t}") for g in range(groups) for u in range(units) for t in range(templates)]
    frame = pd.DataFrame(names, columns=["group", "descriptor", "template"]).rename_axis("prompt_id").reset_index()
    once = each_prompt_once(frame, seed=0, axis="a", n_blocks=117)
    rows = in_passes(once, range(readings), n_blocks=117).merge(frame, on="prompt_id")
    by_unit = rows.groupby(["group", "descriptor"], sort=True)
    context = pd.factorize(rows[["template", "block"]].apply(tuple, axis=1))[0]
    return by_unit.ngroup().to_numpy(), context, by_unit.size().index.codes[0]


@pytest.mark.parametrize(
    ("design", "of_units"),
    [((2, 10, 24, 480), 1.0), ((6, 10, 24, 1440), 0.3), ((6, 10, 24, 360), 0.0), ((6, 10, 24, 360), 0.3)],
)
def test_without_a_difference_groups_differ_clearly_as_often_as_promised(design, of_units):
    """5 ± 1 % of 1,000 studies, and a standard error. With the contexts' means taken away it would be 11 to 28 %."""
    unit, context, group = made_readings(*design)
    rng, n, clear, biases, floors = np.random.default_rng(1), np.bincount(unit).astype(float), 0, [], []
    for _ in range(1000):
        value = rng.normal(0, of_units, group.size)[unit] + rng.normal(0, 2, context.max() + 1)[context]
        found = unit_effects(value + rng.normal(0, 1.0, unit.size), unit, context, group)
        shares = np.bincount(group, n) / n.sum()
        test = omnibus_test(n, n * found.effect, group, shares, permutations=300)
        clear += test.p_value <= 0.05
        biases.append(test.bias)
        floors.append(test.floor)
    assert 0.033 <= clear / 1000 <= 0.067
    assert np.mean(floors) == pytest.approx(np.mean(biases), rel=0.05)


def test_a_difference_that_was_planted_is_found_whatever_the_contexts_do():
    unit, context, group = made_readings(2, 10, 24, 480)
    rng = np.random.default_rng(2)
    value = 0.5 * (group[unit] == 0) + rng.normal(0, 5, context.max() + 1)[context] + rng.normal(0, 1, unit.size)
    effect = unit_effects(value, unit, context, group).effect
    assert effect[group == 0].mean() - effect[group == 1].mean() == pytest.approx(0.5, abs=0.15)
