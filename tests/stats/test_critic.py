"""The critic: its ridge against least squares by hand, and no text has a part in its own value."""

from __future__ import annotations

import numpy as np
import pytest

from fasp_core.stats.advantages import advantages
from fasp_core.stats.critic import (
    PrefixRatings,
    cross_fitted_critics,
    explained_variance,
    fit_critic,
    prefix_values,
    prompt_halves,
)


def made_ratings(seed=0, n=60, longest=5):
    """Texts of 1 … `longest` tokens whose toxicity wanders."""
    rng = np.random.default_rng(seed)
    walk = np.clip(rng.random((n, 1)) + rng.normal(0, 0.1, (n, longest + 1)).cumsum(1), 0, 1)
    lengths = rng.integers(1, longest + 1, n)
    unfinished = [row[:length] for row, length in zip(walk, lengths, strict=True)]
    return PrefixRatings.of(unfinished, walk[np.arange(n), lengths], step=1, max_tokens=longest)


def test_ratings_by_hand():
    """Of at most 10 tokens, rated every 5: one text of 6 … 10 tokens, one of 1 … 5."""
    ratings = PrefixRatings.of([[0.1, 0.4], [0.1]], np.array([0.5, 0.2]), step=5, max_tokens=10)
    assert ratings.toxicity.tolist() == [[0.1, 0.4, 0.5], [0.1, 0.2, 0.2]]
    assert ratings.left.tolist() == [1.0, 0.5]
    assert ratings.open.tolist() == [[True, True], [True, False]]
    np.testing.assert_allclose(ratings.features[0], [[1, 1, 0.1, 0.1], [0.5, 0.25, 0.2, 0.1]])
    values = prefix_values(ratings, np.array([0.1, 0, 0, 0]))
    np.testing.assert_allclose(values, [[0.2, 0.45, 0.5], [0.2, 0.2, 0.2]])


def test_a_critic_is_ridge_regression_of_what_is_still_added():
    ratings = made_ratings()
    rows = [
        (u, u**2, u * c, u**2 * c, final - c)
        for so_far, blocks, final in zip(ratings.toxicity, ratings.blocks, ratings.finished, strict=True)
        for u, c in zip(ratings.left[:blocks], so_far[:blocks], strict=True)
    ]
    x, y = np.array(rows)[:, :4], np.array(rows)[:, 4]
    least_squares = np.linalg.lstsq(x, y, rcond=None)[0]
    np.testing.assert_allclose(fit_critic(ratings, ridge=1e-9), least_squares, rtol=1e-5)
    penalised = np.linalg.lstsq(np.vstack([x, np.eye(4)]), np.append(y, np.zeros(4)), rcond=None)[0]
    np.testing.assert_allclose(fit_critic(ratings), penalised, rtol=1e-9)


def test_with_nothing_to_learn_from_the_value_is_the_toxicity_so_far():
    ratings = made_ratings()
    assert fit_critic(ratings.rows(np.zeros(60, bool))).tolist() == [0, 0, 0, 0]
    assert (prefix_values(ratings, np.zeros(4)) == ratings.toxicity).all()


def test_a_text_moves_the_critic_of_the_other_half_alone():
    ratings, half = made_ratings(), np.arange(60) % 2
    moved = PrefixRatings(ratings.toxicity.copy(), ratings.blocks, ratings.left)
    moved.toxicity[0, ratings.blocks[0] :] += 0.3
    before, after = cross_fitted_critics(ratings, half), cross_fitted_critics(moved, half)
    assert (before[0] == after[0]).all()
    assert np.abs(before[1] - after[1]).max() > 1e-3


def test_halves_are_balanced_within_groups_and_seeded():
    group = np.repeat([0, 1, 2], [12, 4, 8])
    half = prompt_halves(group)
    assert all(half[group == g].mean() == 0.5 for g in range(3))
    np.testing.assert_array_equal(half, prompt_halves(group))
    assert (half != prompt_halves(group, seed=1)).any()


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_a_scorer_that_what_was_written_does_not_move_gives_exactly_no_advantage(lam):
    """One that is constant, and one that reads the prompt alone."""
    toxicity = np.array([0.1, 0.1, 0.7, 0.30000000000000004])
    ratings = PrefixRatings.of([[f] * 3 for f in toxicity], toxicity, step=1, max_tokens=5)
    weights = cross_fitted_critics(ratings, np.array([0, 1, 0, 1]))[[0, 1, 0, 1]]
    assert not advantages(prefix_values(ratings, weights), lam=lam).any()


def test_explained_variance_by_hand():
    ratings = PrefixRatings.of([[0, 0], [0, 0]], np.array([0.0, 1.0]), step=1, max_tokens=2)
    values = np.array([[0.5, 0.25, 0.0], [0.5, 0.75, 1.0]])
    assert explained_variance(values, ratings) == pytest.approx(1 - (0.5 + 0.125) / 1)
    assert np.isnan(explained_variance(values[:1], ratings.rows([0])))


def test_a_critic_finds_what_was_planted_and_nothing_in_noise():
    """The final toxicity is half of what was so far, and noise; or noise alone, which the toxicity so far hides."""
    rng = np.random.default_rng(1)
    so_far, noise, half = rng.random(4000), rng.normal(0, 0.1, 4000), np.arange(4000) % 2

    def explained(final):
        ratings = PrefixRatings.of(so_far[:, None], final, step=1, max_tokens=1)
        values = prefix_values(ratings, cross_fitted_critics(ratings, half)[half])
        return explained_variance(values, ratings)

    assert explained(0.5 + noise) == pytest.approx(0, abs=0.02)
    signal = 0.25 / 12  # the variance of half a uniform number
    assert explained(0.5 * so_far + noise) == pytest.approx(signal / (signal + 0.01), abs=0.03)
