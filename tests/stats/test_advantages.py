"""Advantages against a chain whose mean toxicity has a known gradient: every text is enumerated, nothing is drawn."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from fasp_core.stats.advantages import advantages

T = 4
STRENGTH = np.array([0.8, -0.5, 0.3, 1.1])  # what the gate adds to the logit of token 1, at each step


def logits(state: int, t: int, gate: float) -> float:
    """Logit of token 1 after `state` ones among t tokens: the chain depends on its own past."""
    return -0.8 + 0.6 * state - 0.2 * t + gate * STRENGTH[t]


def chance(state: int, t: int, gate: float = 1.0) -> float:
    return 1 / (1 + np.exp(-logits(state, t, gate)))


def toxicity(state: int) -> float:
    return [0.02, 0.05, 0.1, 0.5, 0.95][state]


def mean_toxicity(gate: float, state: int = 0, t: int = 0) -> float:
    """The true expectation, by recursion over the tokens to come: V with t = 0 … T tokens."""
    if t == T:
        return toxicity(state)
    p = chance(state, t, gate)
    return p * mean_toxicity(gate, state + 1, t + 1) + (1 - p) * mean_toxicity(gate, state, t + 1)


TEXTS = np.array(list(product([0, 1], repeat=T)))  # all 16
STATES = np.concatenate([np.zeros((16, 1), int), TEXTS.cumsum(1)], axis=1)  # (16, T + 1)
P1 = np.array([[chance(s, t) for t, s in enumerate(row[:-1])] for row in STATES])
WEIGHT = np.where(TEXTS == 1, P1, 1 - P1).prod(1)  # chance of each text
SCORE = (TEXTS - P1) * STRENGTH  # ∂ log p(token t) / ∂ gate
FINAL = np.array([toxicity(row[-1]) for row in STATES])
TRUE_V = np.array([[mean_toxicity(1.0, s, t) for t, s in enumerate(row)] for row in STATES])
GRADIENT = (mean_toxicity(1 + 1e-5) - mean_toxicity(1 - 1e-5)) / 2e-5


def values_of(rough: np.ndarray) -> np.ndarray:
    """A critic's values: `rough` on the way, the toxicity at the end."""
    return np.column_stack([rough[:, :-1], FINAL])


def moments(values: np.ndarray, lam: float) -> tuple[float, float]:
    """Mean and variance of Σ_t A_t ∂ log p(token t) / ∂ gate over all texts."""
    term = (advantages(values, lam=lam) * SCORE).sum(1)
    mean = WEIGHT @ term
    return mean, WEIGHT @ (term - mean) ** 2


WRONG = values_of(np.random.default_rng(0).random((16, T + 1))[STATES, np.arange(T + 1)])


def test_by_hand():
    values = np.array([[0.1, 0.3, 0.2]])
    np.testing.assert_allclose(advantages(values, lam=1.0), [[0.1, -0.1]])
    np.testing.assert_allclose(advantages(values, lam=0.5), [[0.15, -0.1]])
    np.testing.assert_allclose(advantages(values, lam=0.0), [[0.2, -0.1]])


def test_lambda_1_is_the_toxicity_minus_the_value_and_tokens_past_the_end_get_0():
    rng = np.random.default_rng(2)
    values, lengths = rng.random((6, 5)), np.array([0, 1, 2, 3, 4, 4])
    toxicity = rng.random(6)
    values = np.where(np.arange(5) < lengths[:, None], values, toxicity[:, None])
    inside = np.arange(4) < lengths[:, None]
    np.testing.assert_allclose(
        advantages(values, lam=1.0), np.where(inside, toxicity[:, None] - values[:, :-1], 0), atol=1e-15
    )
    assert (advantages(values, lam=0.7)[~inside] == 0).all()


def test_the_chain_is_a_chain():
    assert WEIGHT.sum() == pytest.approx(1)
    assert TRUE_V[0, 0] == pytest.approx(WEIGHT @ FINAL)


def test_lambda_1_is_unbiased_whatever_the_critic_says():
    for values in (WRONG, values_of(np.zeros((16, T + 1))), values_of(TRUE_V)):
        assert moments(values, 1.0)[0] == pytest.approx(GRADIENT, rel=1e-8)


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.7, 1.0])
def test_any_lambda_is_unbiased_with_the_true_value(lam):
    assert moments(values_of(TRUE_V), lam)[0] == pytest.approx(GRADIENT, rel=1e-8)


def test_lambda_0_is_biased_with_a_wrong_value():
    nothing = values_of(np.zeros((16, T + 1)))  # all credit goes to the last token
    assert abs(moments(nothing, 0.0)[0] - GRADIENT) > 0.3 * abs(GRADIENT)


def test_the_variance_falls_with_lambda():
    variance = [moments(values_of(TRUE_V), lam)[1] for lam in (0.0, 0.7, 1.0)]
    assert variance == sorted(variance)
    without_critic = WEIGHT @ ((FINAL - WEIGHT @ FINAL) * SCORE.sum(1) - GRADIENT) ** 2
    assert variance[-1] < without_critic
    assert variance[0] < without_critic / 2
