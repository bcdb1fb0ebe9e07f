"""Windows cover the text once; perplexity and z_ppl agree with numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.perplexity import WindowSamples, perplexity, perplexity_effects, token_windows


def _letters(text):
    return {"input_ids": [ord(c) for c in text]}


@given(st.integers(1, 200), st.integers(2, 50))
def test_windows_hold_every_token_once_but_for_a_short_rest(n, length):
    articles = pd.DataFrame(
        {"article": ["x"], "split": ["valid"], "text": ["".join(chr(65 + i % 26) for i in range(n))]}
    )
    pieces = token_windows(_letters, articles, length=length)["token_ids"]
    tokens = [token for piece in pieces for token in piece]
    whole = _letters(articles["text"][0])["input_ids"]
    assert tokens == whole[: len(tokens)]
    assert all(len(piece) <= length for piece in pieces)
    assert len(whole) - len(tokens) < min(16, length)


def test_perplexity_weighs_tokens_not_windows():
    assert perplexity([10, 30], [10, 10]) == pytest.approx(np.exp(2))
    assert perplexity([10, 60], [10, 30]) == pytest.approx(np.exp(70 / 40))


def test_z_ppl_by_hand():
    # Two windows of 10 tokens, 20 nats each: ppl = e². Knocking the head out costs 1 nat in each: ppl' = e^2.1.
    samples = WindowSamples(np.array([-20.0, -20.0]), np.array([10, 10]), np.array([[-1.0], [-1.0]]))
    effects = perplexity_effects(samples, replicates=20, splits=2)
    assert effects.ppl == pytest.approx(np.exp(2))
    assert effects.z[0] == pytest.approx(np.exp(2.1) - np.exp(2))
    assert effects.z_se[0] == pytest.approx(0, abs=1e-12)


def test_knockout_corrects_the_gradient():
    rng = np.random.default_rng(0)
    n = 60
    gradient = rng.normal(-1, 0.1, (n, 2))
    exact = gradient - 2.0
    knockout = np.full((n, 2), np.nan)
    knockout[:10, 0] = exact[:10, 0]
    samples = WindowSamples(np.full(n, -50.0), np.full(n, 20), gradient, knockout)
    effects = perplexity_effects(samples)
    ppl = np.exp(2.5)
    assert list(effects.corrected) == [True, False]
    assert effects.z[0] == pytest.approx(ppl * np.expm1(-exact[:, 0].mean() / 20), rel=1e-6)
    assert effects.z[1] == pytest.approx(ppl * np.expm1(-gradient[:, 1].mean() / 20), rel=1e-6)
