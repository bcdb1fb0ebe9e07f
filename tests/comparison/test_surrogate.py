"""The surrogate against the closed form, brute-force cross-validation, and made truths: additive, and none at all."""

from __future__ import annotations

import numpy as np
import pytest

from fasp_core.comparison.surrogate import (
    STRENGTHS,
    HeadEffects,
    MeasuredMasks,
    best_strength,
    cross_validated,
    fit_surrogate,
    left_out,
    r_squared,
    ridge,
)

GAPS = np.array([0.1, -0.06, -0.04])


def some_masks(rng, n=40, heads=12):
    return (rng.random((n, heads)) < rng.choice([0.1, 0.3, 0.5], (n, 1))).astype(float)


def measured(rng, effects, cost, *, n=40, noise=0.0) -> MeasuredMasks:
    masks = some_masks(rng, n, len(effects))
    changes = masks @ effects + noise * rng.normal(size=(n, GAPS.size))
    return MeasuredMasks(masks, GAPS, changes, masks @ cost + noise * rng.normal(size=n))


def lstsq_ridge(masks, targets, strength):
    """Ridge as ordinary least squares with a row √strength for every coefficient."""
    heads = masks.shape[1]
    rows = np.vstack([masks, np.sqrt(strength) * np.eye(heads)])
    return np.linalg.lstsq(rows, np.vstack([targets, np.zeros((heads, targets.shape[1]))]), rcond=None)[0]


@pytest.mark.parametrize("n", [5, 40])
def test_ridge_is_least_squares_with_a_row_for_every_penalty(n):
    rng = np.random.default_rng(0)
    masks, targets = some_masks(rng, n), rng.normal(size=(n, 3))
    np.testing.assert_allclose(ridge(masks, targets, 0.7), lstsq_ridge(masks, targets, 0.7), atol=1e-10)


def test_two_heads_by_hand():
    """Head 0 alone adds 2, both add 3; with strength 1: (XᵀX + I) b = Xᵀy is [[3, 1], [1, 2]] b = [5, 3]."""
    masks, targets = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[2.0], [3.0]])
    np.testing.assert_allclose(ridge(masks, targets, 1.0), [[1.4], [0.8]])


def test_the_strength_has_the_smallest_error_of_sets_left_out_one_by_one():
    rng = np.random.default_rng(1)
    masks = some_masks(rng)
    targets = masks @ rng.normal(size=(12, 2)) + 2 * rng.normal(size=(40, 2))
    unit = masks.sum() / len(masks)

    def error(strength):
        rest = [np.arange(40) != i for i in range(40)]
        fits = [lstsq_ridge(masks[keep], targets[keep], strength) for keep in rest]
        return sum(((targets[i] - masks[i] @ fit) ** 2).sum() for i, fit in enumerate(fits))

    assert best_strength(masks, targets) == pytest.approx(min(unit * STRENGTHS, key=error))


def test_a_set_is_predicted_without_having_been_seen():
    """Changing one set's numbers changes the prediction of all others, never its own."""
    rng = np.random.default_rng(2)
    masks, targets = some_masks(rng), rng.normal(size=(40, 1))
    before = left_out(masks, targets)
    targets[7] += 100
    after = left_out(masks, targets)
    assert after[7] == pytest.approx(before[7])
    assert (after != before).sum() > 30


def test_a_planted_additive_truth_is_found_and_explained():
    rng = np.random.default_rng(3)
    effects, cost = 0.02 * rng.normal(size=(12, 3)), 0.01 * rng.random(12)
    data = measured(rng, effects, cost, noise=1e-4)
    fitted = fit_surrogate(data)
    np.testing.assert_allclose(fitted.effects, effects, atol=2e-3)
    np.testing.assert_allclose(fitted.cost, cost, atol=1e-3)
    explained = cross_validated(data)
    assert explained.bias.low > 0.95
    assert explained.log_ppl.low > 0.95
    assert explained.bias.n == 40


def test_what_single_heads_say_is_where_it_begins_and_sets_correct_it():
    """Heads 0 and 1 do what is said of them, head 2 the opposite, seen in many sets; head 3 was never measured."""
    rng = np.random.default_rng(4)
    said, cost = np.full((4, 3), 0.02), np.full(4, 0.01)
    true = said * np.array([1, 1, -1, 1])[:, None]
    masks = (rng.random((60, 4)) < 0.5) * np.array([1.0, 1, 1, 0])
    fitted = fit_surrogate(MeasuredMasks(masks, GAPS, masks @ true, masks @ cost), HeadEffects(said, cost))
    np.testing.assert_allclose(fitted.effects, true, atol=1e-3)
    np.testing.assert_allclose(fitted.effects[3], said[3])
    np.testing.assert_allclose(fitted.cost, cost)
    known = MeasuredMasks(masks, GAPS, masks @ said, masks @ cost)
    assert cross_validated(known, HeadEffects(said, cost)).bias.value == pytest.approx(1)


def test_where_nothing_depends_on_the_heads_nothing_is_explained():
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        explained = cross_validated(measured(rng, np.zeros((12, 3)), np.zeros(12), noise=0.02))
        assert explained.bias.low <= 0
        assert explained.log_ppl.low <= 0
        found.append((explained.bias.value, explained.log_ppl.value))
    assert (np.mean(found, axis=0) <= 0).all()


def test_r_squared_by_hand_and_where_it_cannot_be_told():
    """Squares around the mean are 1, 0, 1, missed are 0, 0, 1: R² ½. In units of ⅔, what is missed less half of the
    spread is −¾, 0, ¾."""
    known = r_squared(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0]))
    assert known.value == pytest.approx(0.5)
    assert known.se == pytest.approx(0.75 / np.sqrt(3))
    assert np.isnan(r_squared(np.ones(3), np.zeros(3)).value)
    few = cross_validated(measured(np.random.default_rng(0), np.zeros((12, 3)), np.zeros(12), n=3))
    assert np.isnan([few.bias.value, few.log_ppl.value]).all()
