"""From log-odds to scores: against numbers worked by hand and studies whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fasp_core.stats.log_odds import OddsSamples, doubtful_heads, likelihood_effects, prompt_values, reweighted
from fasp_core.stats.resampling import spearman


def odds(values, group, gradient, knockout=None, shares=(0.5, 0.5)):
    values, gradient = np.array(values, float), np.array(gradient, float)
    exact = None if knockout is None else np.array(knockout, float)[:, None, :]
    group, groups = np.array(group), ("a", "b", "c")[: len(shares)]
    cell = pd.Series(group).groupby(group).cumcount().to_numpy()
    return OddsSamples(
        values[:, None],
        group,
        cell,
        np.zeros(len(group), int),
        np.zeros((len(group), 1), int),
        np.array(shares),
        groups,
        gradient[:, None, :],
        exact,
    )


def test_scores_by_hand():
    # Means −1 and −2 with shares ¾ and ¼: μ = −1.25, bias 0.25 + 0.75 = 1. Without the head −1.2 and −1.6: μ = −1.3,
    # bias 0.1 + 0.3 = 0.4, so z = 0.6: the head drives it.
    found = likelihood_effects(
        odds([-0.5, -1.5, -2, -2], [0, 0, 1, 1], [[-0.3], [-0.1], [0.4], [0.4]], shares=(0.75, 0.25)), replicates=10
    )
    assert found.bias == pytest.approx(1.0)
    assert found.z[0] == pytest.approx(0.6)
    assert not found.corrected[0]


def test_knockout_everywhere_replaces_the_gradient():
    rng = np.random.default_rng(0)
    n, group = 40, np.repeat([0, 1], 20)
    values, exact = rng.normal(size=n), rng.normal(0, 0.1, (n, 3))
    found = likelihood_effects(odds(values, group, rng.normal(0, 9, (n, 3)), exact), replicates=10)
    gap = values[group == 0].mean() - values[group == 1].mean()
    without = (values[:, None] + exact)[group == 0].mean(0) - (values[:, None] + exact)[group == 1].mean(0)
    assert found.corrected.all()
    np.testing.assert_allclose(found.z, abs(gap) - abs(without), atol=1e-9)  # two groups of share ½


def test_the_correction_removes_the_gradients_error_and_carries_its_own():
    """The gradient is twice too large; 20 of 200 prompts of each group have a knock-out."""
    rng = np.random.default_rng(1)
    n, group = 400, np.repeat([0, 1], 200)
    values = rng.normal(0, 0.3, n) + 2 * (group == 0)
    exact = rng.normal(-0.2, 0.05, (n, 1)) * (group == 0)[:, None]
    some = np.where((np.arange(n) % 200 < 20)[:, None], exact, np.nan)
    first_order = likelihood_effects(odds(values, group, 2 * exact))
    combined = likelihood_effects(odds(values, group, 2 * exact, some))
    assert first_order.z[0] == pytest.approx(0.4, abs=0.02)
    assert combined.z[0] == pytest.approx(0.2, abs=3 * combined.z_se[0])
    assert combined.correction_se[0] > 0


def test_heads_are_doubtful_where_the_first_order_is_far_off_and_it_matters():
    """Head 0: exact. Head 1: off by all of a large change. Head 2: off by as much of a change too small to matter."""
    rng = np.random.default_rng(2)
    group, exact = np.repeat([0, 1], 50), rng.normal(0, 1, (100, 3)) * [1, 1, 1e-4]
    values = rng.normal(0, 1, 100) + 3 * group
    assert doubtful_heads(
        odds(values, group, exact * [1, 2, 2], np.where(np.arange(100)[:, None] < 8, exact, np.nan))
    ) == [1]


def test_the_noise_floor_leaves_out_what_all_groups_share():
    rng = np.random.default_rng(3)
    own, shared = rng.normal(0, 0.1, 80), np.repeat(rng.normal(0, 10, 40), 2)
    group, gradient = np.tile([0, 1], 40), np.zeros((80, 1))
    floors = [likelihood_effects(odds(values, group, gradient)).bias_floor for values in (own, own + shared)]
    assert floors[0] == pytest.approx(floors[1])


def test_errors_are_those_of_other_prompts_and_other_pairs():
    """Over 150 made studies whose prompts and pairs have effects of their own, the spread of the estimates is what the
    standard errors say; they may err by 35 % on the large side (what one read has of its own counts three times)."""
    rng = np.random.default_rng(0)
    n_cells, n_stems, estimates, errors = 24, 12, [], []
    cell, group = np.repeat(np.arange(n_cells), 2), np.tile([0, 1], n_cells)
    block = cell % 4
    stem = block[:, None] * 3 + np.arange(3)
    for _ in range(150):
        shared = rng.normal(0, 2, n_stems)[stem] + rng.normal(0, 1, n_cells)[cell][:, None]  # cancels between groups
        by_group = rng.normal(0, 0.4, (2, n_stems))[group[:, None], stem] + rng.normal(0, 0.2, (len(cell), 1))
        value = 2.0 * group[:, None] + shared + by_group
        effect = -0.2 * group[:, None] + rng.normal(0, 0.1, (2, n_stems))[group[:, None], stem]
        effect = effect + rng.normal(0, 0.1, (len(cell), 1)) + rng.normal(0, 0.05, stem.shape)
        found = likelihood_effects(
            OddsSamples(value, group, cell, block, stem, np.full(2, 0.5), ("a", "b"), effect[..., None]),
            replicates=200,
            splits=1,
        )
        estimates.append(found.z[0])
        errors.append(found.z_se[0])
    assert np.mean(estimates) == pytest.approx(0.2, abs=0.02)
    assert 0.9 < np.mean(errors) / np.std(estimates) < 1.35


def test_weights_are_products_of_cells_and_stems():
    cell, stem = np.array([0, 0, 1]), np.array([[0, 1], [0, 1], [2, 1]])
    w = reweighted(cell, stem, 20_000, np.random.default_rng(4)).reshape(-1, 3, 2)
    np.testing.assert_allclose(w[:, 0], w[:, 1])  # same cell, same stems: what moves all groups alike cancels
    assert w.mean(0) == pytest.approx(np.ones((3, 2)), abs=0.1)
    # products of two independent exponentials have variance 2² − 1 = 3
    assert w[:, 0, 0].var() == pytest.approx(3, rel=0.15)


def read_in_passes(
    rng, *, n_cells=24, n_blocks=4, passes=None, noise=1.0, heads=40, signal=1.0, of_reads=0.0, true=None
):
    """Every prompt of two groups read with every block of three stems, or `passes` of them; heads have true effects.

    `noise` of every prompt and every stem, and `of_reads` of each reading of a block.
    """
    passes = passes or n_blocks
    cell = np.tile(np.repeat(np.arange(n_cells), 2), passes)
    group = np.tile([0, 1], n_cells * passes)
    block = (cell + np.repeat(np.arange(passes), 2 * n_cells)) % n_blocks
    stem = block[:, None] * 3 + np.arange(3)
    true = signal * rng.normal(0, 0.1, heads) if true is None else true
    of_prompt = rng.normal(0, noise, (n_cells * 2, heads))[cell * 2 + group]
    of_stem = rng.normal(0, noise, (2, 3 * n_blocks, heads))[group[:, None], stem]
    of_read = rng.normal(0, of_reads, (len(cell), 1, heads))
    effect = -true * group[:, None, None] + of_prompt[:, None] + of_stem + of_read
    value = 50.0 * group[:, None] + rng.normal(0, 0.1, stem.shape)
    samples = OddsSamples(value, group, cell, block, stem, np.full(2, 0.5), ("a", "b"), effect)
    return samples, true


def test_prompts_read_again_are_still_one_prompt_each():
    samples, _ = read_in_passes(np.random.default_rng(5))
    prompts = prompt_values(samples)
    assert prompts.value.size == 48
    rows = pd.DataFrame({"cell": samples.cell, "group": samples.group, "value": samples.log_odds.mean(1)})
    expected = rows.groupby(["cell", "group"])["value"].mean()
    np.testing.assert_allclose(prompts.value, expected)
    assert prompts.group.tolist() == expected.index.get_level_values("group").tolist()


def test_reliability_of_prompts_read_again_is_that_of_new_prompts_and_new_stems():
    """Halves that shared prompts, or stems, would take their noise for signal: with no true effect they would agree."""
    rng = np.random.default_rng(6)
    none = [likelihood_effects(read_in_passes(rng, signal=0.0)[0], replicates=2).reliability for _ in range(12)]
    assert np.mean(none) == pytest.approx(0, abs=0.15)
    found, true = read_in_passes(rng, noise=0.1)
    effects = likelihood_effects(found, replicates=2)
    assert np.corrcoef(effects.z, true)[0, 1] > 0.8
    assert 0.3 < effects.reliability <= np.corrcoef(effects.z, true)[0, 1]


@pytest.mark.parametrize(
    ("passes", "noise", "of_reads"), [(8, 0.3, 0.0), (8, 0.15, 0.8), (8, 0.02, 1.0), (2, 0.2, 0.4)]
)
def test_reliability_is_what_a_second_measurement_by_other_prompts_and_stems_agrees_to(passes, noise, of_reads):
    """Whether the noise is that of prompts and stems, or of single readings: mean over 60 pairs of made studies."""
    rng, told, agreed = np.random.default_rng(7), [], []
    for _ in range(60):
        true = rng.normal(0, 0.1, 60)
        pair = [
            likelihood_effects(
                read_in_passes(rng, n_blocks=8, passes=passes, noise=noise, heads=60, of_reads=of_reads, true=true)[0],
                replicates=2,
                splits=6,
            )
            for _ in range(2)
        ]
        told += [one.reliability for one in pair]
        agreed.append(spearman(pair[0].z, pair[1].z))
    assert np.mean(told) == pytest.approx(np.mean(agreed), abs=0.05)
    assert 0.3 < np.mean(agreed) < 0.85


def made_odds(prompts: int, passes: int, *, alone: bool = False) -> OddsSamples:
    """Two groups of so many prompts read so often, every head knocked out everywhere; noise alone."""
    rng = np.random.default_rng(0)
    cell, group = np.tile(np.repeat(np.arange(prompts), 2), passes), np.tile([0, 1], prompts * passes)
    block = np.repeat(np.arange(passes), 2 * prompts) * 30 + cell
    keep = (cell == 0) | (group == 1) if alone else np.ones(cell.size, bool)
    cell, group, block = cell[keep], group[keep], block[keep]
    gradient = rng.normal(size=(cell.size, 1, 5)).astype(np.float32)
    return OddsSamples(
        rng.normal(size=(cell.size, 1)),
        group,
        cell,
        block,
        block[:, None],
        np.array([0.5, 0.5]),
        ("a", "b"),
        gradient,
        gradient + 1,
    )


def test_prompts_with_a_knock_out_are_counted_not_their_readings():
    assert not likelihood_effects(made_odds(2, 4), replicates=2).corrected.any()  # 8 readings of 2 prompts
    assert likelihood_effects(made_odds(8, 2), replicates=2).corrected.all()


def test_a_reliability_that_is_not_known_is_no_perfect_one():
    assert np.isnan(likelihood_effects(made_odds(8, 4, alone=True), replicates=2).reliability)
