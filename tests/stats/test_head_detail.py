"""What a head does to groups, sums and texts: against hand-worked numbers and the scores themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fasp_core.stats.axis_sums import AxisSamples, AxisSums
from fasp_core.stats.bias import head_effects
from fasp_core.stats.head_detail import (
    bias_of,
    group_effects,
    log_ratios,
    most_changed,
    summed_bias,
    summed_ppl,
    tier,
)
from fasp_core.stats.perplexity import WindowSamples, perplexity_effects


def made_samples(rng: np.random.Generator, *, n: int = 240, heads: int = 5, knockout: float = 0.0) -> AxisSamples:
    """Three groups, two samples of every prompt; `knockout` is the share of samples with exact log-ratios."""
    prompt = np.arange(n) // 2
    group = prompt % 3
    toxicity = np.clip(rng.beta(1, 4, n) + 0.1 * group, 0, 1)
    gradient = rng.normal(0, 0.3, (n, heads)) + 0.5 * toxicity[:, None]
    exact = None
    if knockout:
        exact = np.where(rng.random((n, 1)) < knockout, gradient + rng.normal(0, 0.05, (n, heads)), np.nan)
    return AxisSamples(toxicity, group, prompt, np.array([0.5, 0.3, 0.2]), ("a", "b", "c"), gradient, exact)


def test_without_the_head_a_group_mean_is_the_weighted_one_by_hand():
    # exact log-ratios: ln 3 and 0 weigh toxicities 0.8 and 0.2 as 3 : 1 → (3 · 0.8 + 0.2) / 4 = 0.65, from 0.5
    prompts = np.arange(32)
    toxicity = np.where(prompts % 2, 0.2, 0.8)
    ratio = np.where(prompts % 2, 0.0, np.log(3))[:, None]
    samples = AxisSamples(
        toxicity, np.repeat([0, 1], 16), prompts, np.array([0.5, 0.5]), ("a", "b"), np.zeros((32, 1)), ratio
    )
    for effect in group_effects(AxisSums.of(samples), 0):
        assert effect.with_head.value == pytest.approx(0.5)
        assert effect.without_head.value == pytest.approx(0.65)
        assert effect.change.value == pytest.approx(0.15)
        assert effect.change.n == 16
        assert 0 < effect.change.se < 0.1


@pytest.mark.parametrize("knockout", [0.0, 0.6, 1.0])
def test_the_groups_add_up_to_the_score_of_the_head(knockout):
    samples = made_samples(np.random.default_rng(0), knockout=knockout)
    scores = head_effects(AxisSums.of(samples))
    for head in range(5):
        before, after = bias_of(group_effects(AxisSums.of(samples), head), samples.shares)
        assert before == pytest.approx(scores.bias)
        assert before - after == pytest.approx(scores.z[head])


def test_the_sum_of_one_head_is_its_score_with_its_error():
    samples = made_samples(np.random.default_rng(1), knockout=0.6)
    scores = head_effects(AxisSums.of(samples))
    one = summed_bias(AxisSums.of(samples), [3])
    assert (one.value, one.se) == pytest.approx((scores.z[3], scores.z_se[3]), rel=1e-6)


def test_heads_that_share_their_samples_have_correlated_errors_in_the_sum():
    samples = made_samples(np.random.default_rng(2))
    twins = AxisSamples(
        samples.toxicity,
        samples.group,
        samples.prompt,
        samples.shares,
        samples.groups,
        np.repeat(samples.gradient[:, :1], 4, axis=1),
    )
    one, four = (summed_bias(AxisSums.of(twins), range(n)) for n in (1, 4))
    assert four.value == pytest.approx(4 * one.value)
    assert four.se == pytest.approx(4 * one.se)  # not √4 times: the four are one and the same


def test_the_sum_of_perplexities_is_the_sum_of_scores_with_the_error_of_the_sum():
    rng = np.random.default_rng(3)
    windows = WindowSamples(rng.normal(-300, 20, 40), np.full(40, 100), rng.normal(-2, 1, (40, 6)))
    scores = perplexity_effects(windows)
    total = summed_ppl(windows, [1, 4])
    assert total.value == pytest.approx(scores.z[1] + scores.z[4])
    assert summed_ppl(windows, [1]).se == pytest.approx(scores.z_se[1], rel=0.1)  # other replicates
    assert total.se < scores.z_se[1] + scores.z_se[4]


def test_errors_of_a_group_cover_the_truth():
    rng, inside = np.random.default_rng(4), []
    for _ in range(60):
        samples = made_samples(rng, n=180, heads=1)
        inside.append(
            [
                e.change.low <= 0.5 * v <= e.change.high
                for e, v in zip(group_effects(AxisSums.of(samples), 0), _variances(), strict=True)
            ]
        )
    assert 0.88 <= np.mean(inside) <= 1.0


def _variances() -> list[float]:
    """cov(f, 0.5 f + noise) = ½ var(f); f = clip(beta(1, 4) + 0.1 g): taken from a million draws."""
    rng = np.random.default_rng(5)
    return [float(np.clip(rng.beta(1, 4, 1_000_000) + 0.1 * g, 0, 1).var()) for g in range(3)]


def test_the_texts_a_head_changes_most_come_first_whichever_way():
    samples = AxisSamples(
        np.full(4, 0.1),
        np.zeros(4, int),
        np.arange(4),
        np.ones(1),
        ("a",),
        np.array([[0.1], [-0.9], [0.5], [0.0]]),
        np.array([[np.nan], [np.nan], [2.0], [np.nan]]),
    )
    texts = pd.DataFrame({"continuation": list("wxyz"), "toxicity": samples.toxicity})
    chosen = most_changed(samples, texts, 0, most=2)
    assert chosen["continuation"].to_list() == ["y", "x"]
    assert chosen["log_ratio"].to_list() == [2.0, -0.9]
    assert chosen["exact"].to_list() == [True, False]
    assert log_ratios(samples, 0)[0].tolist() == [0.1, -0.9, 2.0, 0.0]


def test_the_tier_says_where_a_score_comes_from():
    rng = np.random.default_rng(6)
    assert tier(made_samples(rng), 0) == "gradient"
    assert tier(made_samples(rng, knockout=0.5), 0) == "gradient + knock-out"
    assert tier(made_samples(rng, knockout=1.0), 0) == "knock-out"
