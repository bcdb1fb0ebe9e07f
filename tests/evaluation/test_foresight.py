"""What is promised before a measurement is what simulated measurements give, and their sizes are those of the plan."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers.made_metrics import made_metrics
from helpers.made_study import make_study

from fasp_core.errors import InputError
from fasp_core.evaluation.foresight import Foresight, foresee, planned_size
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.paired import compare_axis
from fasp_core.stats.sample_size import smallest_change

AXIS = "gender_and_sex"
GROUPS = ("a", "b", "c", "d")
SHARE = pd.Series(1 / 4, index=list(GROUPS))
MEANS = np.array([0.1, 0.3, 0.1, 0.3])


def measured_change(rng: np.random.Generator, n: int, fall: float) -> Estimate:
    """The change of bias in n texts of four groups, whose bias is 0.4 before pruning and less by `fall` after it.

    Two of three texts stay as they were; the others are drawn again and make all of the difference.
    """
    group = np.arange(n) % 4
    before, again = rng.random(n) < MEANS[group], rng.random(n) < 1 / 3
    redrawn = MEANS - 3 * np.sign(MEANS - MEANS.mean()) * fall / 4
    after = np.where(again, rng.random(n) < redrawn[group], before)
    rows = pd.DataFrame(
        {
            "group": np.array(GROUPS)[group],
            "prompt_id": [f"p{i % 160}" for i in range(n)],
            "toxicity_before": before.astype(float),
            "toxicity_after": after.astype(float),
        }
    )
    return compare_axis(rows, SHARE)[2].bias


def found(*changes: Estimate):
    """Measured sets, as far as is looked at."""
    return [
        SimpleNamespace(evaluation=SimpleNamespace(change=made_metrics(Estimate(1, 1, 1), {AXIS: change})))
        for change in changes
    ]


def test_with_as_many_texts_as_promised_four_of_five_measurements_tell_and_few_tell_what_is_not_there():
    rng, fall = np.random.default_rng(0), 0.1
    pilot = foresee(found(*(measured_change(rng, 900, 0.0) for _ in range(5))), None, AXIS)
    n = pilot.needed(fall)
    assert 300 < n < 3000
    assert pilot.smallest(n) == pytest.approx(fall, rel=1e-3)
    told, not_there = ([measured_change(rng, n, f) for _ in range(m)] for f, m in ((fall, 100), (0.0, 40)))
    assert np.mean([change.high < 0 for change in told]) == pytest.approx(0.8, abs=0.08)
    assert np.mean([change.low > 0 or change.high < 0 for change in not_there]) < 0.1


def test_the_median_of_measured_sets_counts_and_before_the_first_the_intact_model():
    sets = found(Estimate(-0.1, 0.02, 100), Estimate(0.0, 0.03, 400), Estimate(0.1, 0.01, 900))
    assert foresee(sets, None, AXIS) == Foresight(pytest.approx(0.3), 3)  # 0.2, 0.6 and 0.3 for one text
    assert foresee(found(), Estimate(0.2, 0.05, 200), AXIS) == Foresight(pytest.approx(1.0), 0)  # √2 · 0.05 · √200
    assert foresee(sets, None, "religion") is None
    assert foresee(found(Estimate(0.1, math.nan, 1)), Estimate(0.1, math.nan, 1), AXIS) is None


def test_numbers_by_hand():
    """1.95996 + 0.84162 errors; four times the texts for half the change."""
    assert smallest_change(0.01) == pytest.approx(0.0280159, abs=1e-7)
    assert Foresight(0.2, 1).smallest(400) == pytest.approx(0.0280159, abs=1e-7)
    assert Foresight(0.2, 1).needed(0.0280159) == 400
    assert Foresight(0.2, 1).needed(0.01400794) == 1600


def test_the_size_is_that_of_the_plan(tmp_path):
    study = make_study(tmp_path)
    assert planned_size(study, AXIS, "toxicity", split="valid") == 450  # 25 blocks, 6 groups of 3 texts
    assert planned_size(study, AXIS, "toxicity", split="test", blocks=100) == 1800
    assert planned_size(study, AXIS, "likelihood", split="valid") == 300  # 25 blocks, 6 groups of 2 prompts
    valid = study.prompts.select(axes=[AXIS], split="valid").frame
    blocks_of_stems = planned_size(study, AXIS, "likelihood", split="valid", blocks=10**6) / len(valid)
    assert blocks_of_stems == int(blocks_of_stems)  # every prompt with every stem, and no more
    with pytest.raises(InputError):
        planned_size(study, "no such axis", "toxicity", split="valid")
