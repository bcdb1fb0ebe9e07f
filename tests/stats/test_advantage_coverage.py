"""95 % intervals of scores by advantages cover the truth in 93–97 % of synthetic studies whose truth is known exactly.

Each of a text's four tokens is toxic with the prompt's own chance p ~ Beta(a_g, b), and so is the text if any is.
Without head h the logit of p is lower by δ, so derivatives and their expectation are known in closed form. The values
of prefixes are those of the critic itself, learned from the study's texts. Some groups lie close to the overall mean,
where the absolute value in the bias has its kink.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betaln

from fasp_core.stats.advantages import advantages
from fasp_core.stats.bias import axis_bias, head_effects
from fasp_core.stats.critic import PrefixRatings, cross_fitted_critics, prefix_values, prompt_halves
from fasp_core.stats.prompt_sums import PromptSums

A, B = np.array([1.0, 2.0, 1.2, 0.6, 1.6]), 18.0
HEADS, TOKENS = 12, 4
LOW, HIGH = 0.05, 0.9
GROUPS, SHARES = tuple("abcde"), np.full(5, 0.2)


def made_study(rng, *, prompts, draws, gap, lam):
    """Sums of one synthetic study with this λ and with λ = 1, and the true z_bias of every head to first order."""
    a = np.maximum(0.2, 1.2 + (A - 1.2) * gap)
    delta = np.linspace(-0.5, 0.5, HEADS) * np.random.default_rng(5).normal(size=(5, HEADS))
    group_of = np.repeat(np.arange(5), prompts)
    prompt = np.repeat(np.arange(5 * prompts), draws)
    group, p = group_of[prompt], rng.beta(a[group_of], B)[prompt][:, None]
    toxic = rng.random((prompt.size, TOKENS)) < p
    so_far = np.where(np.pad(np.maximum.accumulate(toxic, 1), ((0, 0), (1, 0))), HIGH, LOW)
    ratings = PrefixRatings.of(so_far[:, :-1], so_far[:, -1], step=1, max_tokens=TOKENS)
    half = prompt_halves(group_of, seed=int(rng.integers(10**9)))[prompt]
    values = prefix_values(ratings, cross_fitted_critics(ratings, half)[half])
    slopes = np.where(toxic, 1 - p, -p)  # of log p(token) by the logit
    texts = {
        name: (advantages(values, lam=each) * slopes).sum(1)[:, None] * delta[group]
        for name, each in (("discounted", lam), ("unbiased", 1.0))
    }
    sums = PromptSums.of_texts(prompt, group, so_far[:, -1], texts)
    means = LOW + (HIGH - LOW) * (1 - np.exp(betaln(a, B + TOKENS) - betaln(a, B)))  # E[(1 − p)⁴]
    slope = (HIGH - LOW) * TOKENS * np.exp(betaln(a + 1, B + TOKENS) - betaln(a, B))  # E[4 p (1 − p)⁴]
    truth = axis_bias(means, SHARES) - axis_bias(means + (slope[:, None] * delta).T, SHARES)
    return (*(sums.axis_sums(name, SHARES, GROUPS) for name in texts), truth)


@pytest.mark.parametrize(
    ("design", "lam"),
    [
        ({"prompts": 60, "draws": 3, "gap": 1.0}, 0.7),
        ({"prompts": 30, "draws": 6, "gap": 1.0}, 0.7),
        ({"prompts": 60, "draws": 3, "gap": 2.0}, 0.7),
        ({"prompts": 60, "draws": 3, "gap": 1.0}, 1.0),
    ],
)
def test_intervals_cover_the_truth(design, lam):
    rng, covered = np.random.default_rng(0), []
    for _ in range(120):
        discounted, unbiased, truth = made_study(rng, **design, lam=lam)
        effects = head_effects(discounted, unbiased=unbiased if lam < 1 else None, replicates=100, splits=1)
        covered.append(np.abs(effects.z - truth) < 1.96 * effects.z_se)
    assert 0.93 <= np.mean(covered) <= 0.97
