"""Interactions of pairs of heads: by hand, at chance level where there are none, and on a tiny model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.log_odds import PAIRS
from helpers.scored_both_ways import score_both_ways

from fasp_core.comparison.interactions import (
    bias_interaction,
    draw_pairs,
    interaction,
    measure_interactions,
    pair_share,
    ppl_interaction,
)
from fasp_core.comparison.table import export_rows
from fasp_core.errors import InputError
from fasp_core.evaluation.evaluate import evaluate, scorer_for
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.head import parse_head
from fasp_core.scoring.score_heads import Budget, score_heads
from fasp_core.toxicity.scorers import open_scorer

AXIS = "gender_and_sex"


def test_bias_of_four_models_by_hand():
    # Two groups, shares ½: bias = |0.5 (a − b)| + |0.5 (b − a)| = |a − b|.
    toxicity = np.array([[0.5, 0.4, 0.3, 0.1], [0.7, 0.6, 0.5, 0.3], [0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1]])
    values = bias_interaction(toxicity, np.array([0, 0, 1, 1]), np.arange(4), np.array([0.5, 0.5]))
    assert values[0] == pytest.approx([0.5, 0.4, 0.3, 0.1])
    assert interaction(values, 4, 2).value == pytest.approx(0.1 - 0.4 - 0.3 + 0.5)


def test_perplexity_of_four_models_by_hand():
    values = ppl_interaction(np.log([[2.0, 4, 8, 32], [2, 4, 8, 32]]) * 10, np.array([10, 10]))
    assert values[0] == pytest.approx([2, 4, 8, 32])
    found = interaction(values, 2, 2)
    assert found.value == pytest.approx(32 - 4 - 8 + 2)
    assert found.low > 0  # all windows alike: no doubt


def test_pairs_without_interaction_differ_as_often_as_chance_has_it():
    """300 pairs of heads whose effects on every text add up but for noise: about 5 % look like more."""
    rng = np.random.default_rng(0)
    group, prompt = np.repeat([0, 1, 2], 40), np.arange(120)
    level = np.array([0.5, 0.3, 0.2])[group]
    differ = []
    for _ in range(300):
        noise = rng.normal(0, 0.05, (120, 4))
        added = rng.normal(0, 0.03, (2, 3))[:, group]
        toxicity = level[:, None] + np.stack([0 * level, added[0], added[1], added.sum(0)], axis=1) + noise
        found = interaction(bias_interaction(toxicity, group, prompt, np.full(3, 1 / 3)), 120, 40)
        differ.append(found.low > 0 or found.high < 0)
    assert 0.02 < np.mean(differ) < 0.09
    share = pair_share(differ)
    assert share.interval[0] < 0.01
    assert share.beyond_chance < 0.05


def test_the_share_beyond_chance():
    assert pair_share([True] * 10).beyond_chance == pytest.approx(1)
    assert pair_share([False] * 10).beyond_chance == 0
    half = pair_share([True, False] * 50)
    assert half.beyond_chance == pytest.approx((0.5 - 0.05) / 0.95)
    # Wilson's interval of 0 of 10 ends at z² / (n + z²) = 0.2775, that of 50 of 100 is 0.4038 to 0.5962
    assert pair_share([False] * 10).interval == pytest.approx((0, (0.2775 - 0.05) / 0.95), abs=1e-4)
    assert half.interval == pytest.approx(((0.4038 - 0.05) / 0.95, (0.5962 - 0.05) / 0.95), abs=1e-3)


def test_pairs_are_different_seeded_and_of_the_given_heads():
    free = np.array([1, 4, 5, 9])
    pairs = draw_pairs(free, 6, seed=0)
    assert {tuple(p) for p in pairs.tolist()} == {(1, 4), (1, 5), (1, 9), (4, 5), (4, 9), (5, 9)}
    assert (draw_pairs(free, 3, seed=0) == pairs[:3]).all()
    with pytest.raises(InputError, match="make only 6 pairs"):
        draw_pairs(free, 7, seed=0)


def test_on_a_model_the_pair_is_what_evaluations_say(tiny_llama, tmp_path):
    study = score_heads(tiny_llama, axes=[AXIS], budget=Budget(24, 4, 1), name="s", root=tmp_path)
    small = EvaluationSettings(max_new_tokens=3, texts_per_block=18, windows_per_block=1)
    stages = []
    found = measure_interactions(
        tiny_llama,
        study,
        AXIS,
        pairs=3,
        gamma=0.25,
        blocks=2,
        scorer=open_scorer("embedded"),
        settings=small,
        progress=stages.append,
    )
    assert len(found.frame) == 6
    parts = found.frame["change_both"] - found.frame["change_first"] - found.frame["change_second"]
    assert parts.to_numpy() == pytest.approx(found.frame["interaction"].to_numpy())
    assert set(found.shares) == {f"bias.{AXIS}", "ppl"}
    assert stages[-1].done == stages[-1].total
    export_rows(found.frame, tmp_path / "pairs.csv")
    assert (tmp_path / "pairs.csv").read_text().startswith("first,second,metric")


def test_by_likelihood_the_changes_are_those_of_evaluations(tiny_llama, tmp_path):
    study = score_both_ways(tiny_llama, tmp_path, "s", toxicity=False)
    small = EvaluationSettings(prompts_per_block=6, windows_per_block=1)
    scorer = scorer_for(study, ["likelihood"])
    found = measure_interactions(
        tiny_llama, study, AXIS, pairs=2, gamma=0.25, blocks=2, scorer=scorer, metric="likelihood", settings=small
    )
    for _, row in found.frame[found.frame["metric"] == f"bias.{AXIS}"].iterrows():
        for column, heads in (("first", ["first"]), ("second", ["second"]), ("both", ["first", "second"])):
            *_, told = evaluate(
                tiny_llama,
                [parse_head(row[name]) for name in heads],
                [AXIS],
                metrics=["likelihood"],
                prompts=study.prompts,
                windows=study.windows,
                pairs=PAIRS,
                settings=replace(small, blocks=2),
            )
            assert row[f"change_{column}"] == pytest.approx(told.change.bias_by("likelihood")[AXIS].value, abs=1e-9)
        assert row["interaction"] == pytest.approx(row["change_both"] - row["change_first"] - row["change_second"])
        assert row["low"] < row["interaction"] < row["high"]
