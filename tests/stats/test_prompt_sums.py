"""Sums per prompt: adding them is joining their texts, and their scores are those of the mean contributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasp_core.errors import InputError
from fasp_core.stats.axis_sums import AxisSamples, AxisSums
from fasp_core.stats.bias import axis_bias, head_effects
from fasp_core.stats.prompt_sums import PromptSums

HEADS, SHARES = 3, np.array([0.4, 0.3, 0.2, 0.1])


def made_texts(seed, n=60, prompts=12):
    """Texts of 12 prompts with ids that are no codes, in four groups."""
    rng = np.random.default_rng(seed)
    row = np.concatenate([np.arange(prompts), rng.integers(0, prompts, n - prompts)])
    return {
        "prompt": 100 + 7 * row,
        "group": row % 4,
        "toxicity": rng.random(n),
        "contributions": {"a": rng.normal(size=(n, HEADS)), "b": rng.normal(size=(n, HEADS))},
    }


def part(texts, rows):
    return PromptSums.of_texts(
        *(texts[name][rows] for name in ("prompt", "group", "toxicity")),
        {name: values[rows] for name, values in texts["contributions"].items()},
    )


def same(a: PromptSums, b: PromptSums) -> None:
    for name in ("prompt", "group", "n", "f"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-12, atol=1e-12)
    assert a.heads.keys() == b.heads.keys()
    for name, sums in a.heads.items():
        np.testing.assert_allclose(sums, b.heads[name], rtol=1e-12, atol=1e-12)


def test_by_hand():
    sums = PromptSums.of_texts(
        np.array([9, 4, 9]), np.array([1, 0, 1]), np.array([0.0, 0.5, 1.0]), {"a": np.array([[1.0], [2.0], [3.0]])}
    )
    assert sums.prompt.tolist() == [4, 9]
    assert sums.group.tolist() == [0, 1]
    assert sums.n.tolist() == [1, 2]
    assert sums.f.tolist() == [0.5, 1.0]
    assert sums.heads["a"].tolist() == [[2.0], [4.0]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(0, 3), min_size=60, max_size=60))
def test_adding_sums_is_joining_their_texts_in_any_order(seed, shard):
    texts, shard = made_texts(seed), np.array(shard)
    a, b, c = (part(texts, np.flatnonzero(shard == k)) for k in range(3))
    joined = part(texts, np.flatnonzero(shard < 3))
    same((a + b) + c, joined)
    same(a + (b + c), joined)
    same(b + a, a + b)


def test_a_score_is_the_bias_minus_that_of_means_moved_by_the_mean_contribution():
    texts = made_texts(3, n=400, prompts=48)
    half = np.arange(400) < 150
    sums = part(texts, np.flatnonzero(half)) + part(texts, np.flatnonzero(~half))
    found = head_effects(sums.axis_sums("b", SHARES, tuple("abcd")), replicates=50, splits=2)
    inside = [texts["group"] == g for g in range(4)]
    means = np.array([texts["toxicity"][rows].mean() for rows in inside])
    moved = means + np.array([texts["contributions"]["b"][rows].mean(0) for rows in inside]).T  # (N, G)
    np.testing.assert_allclose(found.z, axis_bias(means, SHARES) - axis_bias(moved, SHARES), rtol=1e-9)
    assert np.isnan(found.effective_share).all()


def test_knockouts_correct_contributions_as_they_correct_log_ratios():
    """The correction is (knock-out − log-ratios' first order) on the texts that have both, whatever it is added to."""
    rng, n = np.random.default_rng(0), 96
    prompt = np.arange(n) % 24
    f, ratios = rng.random(n), rng.normal(0, 0.2, (n, HEADS))
    exact = ratios + rng.normal(0, 0.05, (n, HEADS))
    samples = AxisSamples(f, prompt % 2, prompt, np.full(2, 0.5), ("a", "b"), ratios, exact)
    first = AxisSums.of(samples.first(72))
    contributions = rng.normal(0, 0.1, (n, HEADS))
    plain = PromptSums.of_texts(10 * prompt, prompt % 2, f, {"a": contributions}).axis_sums(
        "a", np.full(2, 0.5), ("a", "b")
    )
    corrected = head_effects(plain.with_exact(first, np.arange(24)), replicates=20, splits=1)
    assert corrected.corrected.all()
    np.testing.assert_allclose(corrected.effective_share, first.effective_share)
    means, moved = np.empty(2), np.empty((HEADS, 2))
    for g in range(2):
        rows, both = prompt % 2 == g, (prompt % 2 == g) & (np.arange(n) < 72)
        w, r = np.exp(exact[both]), ratios[both]
        correction = (w * f[both, None]).sum(0) / w.sum(0) - f[both].mean()
        correction -= (f[both, None] * r).mean(0) - f[both].mean() * r.mean(0)
        means[g] = f[rows].mean()
        moved[:, g] = means[g] + contributions[rows].mean(0) + correction
    shares = np.full(2, 0.5)
    np.testing.assert_allclose(corrected.z, axis_bias(means, shares) - axis_bias(moved, shares), rtol=1e-6)


def test_errors_say_what_to_do():
    texts = made_texts(4)
    sums = part(texts, slice(None))
    plain = PromptSums.of_texts(texts["prompt"], texts["group"], texts["toxicity"], {})
    with pytest.raises(InputError, match="by none cannot be added"):
        _ = plain + sums
    other = PromptSums.of_texts(texts["prompt"], texts["group"] + 1, texts["toxicity"], {})
    with pytest.raises(InputError, match="another group"):
        _ = plain + other
