"""Samples follow the model's distribution, depend on their key alone, and are coupled between models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fasp_core.errors import Cancelled
from fasp_core.heads import gate_heads
from fasp_core.sampling import GumbelNoise, SamplingSettings, encode_prompts, noise_key, sample_continuations

PROMPTS = [[5, 6, 7, 8], [9, 10], [11, 12, 13, 14, 15, 16], [5, 6, 7, 8]]
SETTINGS = SamplingSettings(max_new_tokens=6)


def keys(n, seed=0):
    return [noise_key(seed, "test", "prompt", draw) for draw in range(n)]


def chi_square(tokens, probabilities):
    """χ² per degree of freedom."""
    expected = probabilities * len(tokens)
    seen = np.bincount(tokens, minlength=expected.size)
    common = expected >= 5
    observed, expected = (np.append(x[common], x[~common].sum()) for x in (seen, expected))
    return ((observed - expected) ** 2 / expected).sum() / (expected.size - 1)


def test_a_sample_depends_on_its_prompt_and_key_not_on_its_batch(tiny_llama):
    together = sample_continuations(tiny_llama, PROMPTS, keys(4), SETTINGS)
    alone = [sample_continuations(tiny_llama, [p], [k], SETTINGS)[0] for p, k in zip(PROMPTS, keys(4), strict=True)]
    assert together == alone
    assert together[0] != together[3]  # the same prompt, another draw
    assert sample_continuations(tiny_llama, PROMPTS, keys(4, seed=1), SETTINGS) != together


def test_samples_follow_the_models_distribution(tiny_llama):
    """The first token of many draws against the exact next-token probabilities (χ² per degree of freedom)."""
    with torch.no_grad():
        p = tiny_llama.model(torch.tensor([PROMPTS[0]])).logits[0, -1].softmax(-1).double().numpy()
    n = 4000
    draws = sample_continuations(tiny_llama, [PROMPTS[0]] * n, keys(n), SamplingSettings(max_new_tokens=1))
    assert chi_square([d[0] for d in draws], p) < 1.6


def test_gumbel_noise_has_the_gumbel_distribution():
    noise = GumbelNoise(["key"])(torch.zeros(1, 1), torch.zeros(1, 50_000))[0].numpy()
    assert noise.mean() == pytest.approx(0.5772, abs=0.02)  # Euler–Mascheroni
    assert noise.std() == pytest.approx(np.pi / np.sqrt(6), abs=0.02)


def test_top_k_keeps_the_likeliest_tokens_only():
    scores = torch.tensor([[0.0, 3.0, 1.0, 2.0]])
    kept = GumbelNoise(["key"], top_k=2)(torch.zeros(1, 1), scores)
    assert torch.isfinite(kept).tolist() == [[False, True, False, True]]


def test_coupled_samples_differ_only_from_where_a_choice_changed(tiny_llama):
    before = sample_continuations(tiny_llama, PROMPTS, keys(4), SETTINGS)
    with gate_heads(tiny_llama.model, off=[]):
        assert sample_continuations(tiny_llama, PROMPTS, keys(4), SETTINGS) == before
    n = 60
    base = sample_continuations(tiny_llama, [PROMPTS[0]] * n, keys(n), SETTINGS)
    with gate_heads(tiny_llama.model, off=[(0, 0)]):
        coupled = sample_continuations(tiny_llama, [PROMPTS[0]] * n, keys(n), SETTINGS)
        fresh = sample_continuations(tiny_llama, [PROMPTS[0]] * n, keys(n, seed=7), SETTINGS)
    same = sum(a[:1] == b[:1] for a, b in zip(base, coupled, strict=True))
    assert same > 2 * sum(a[:1] == b[:1] for a, b in zip(base, fresh, strict=True))


def test_a_continuation_ends_with_the_end_token(tiny_llama):
    model = tiny_llama.model
    first = sample_continuations(tiny_llama, [PROMPTS[0]], keys(1), SETTINGS)[0]
    saved = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = first[2]
    try:
        ended = sample_continuations(tiny_llama, [PROMPTS[0]], keys(1), SETTINGS)[0]
    finally:
        model.generation_config.eos_token_id = saved
    assert ended == first[: first.index(first[2]) + 1]


def test_long_prompts_are_cut_on_the_left_and_counted(tiny_llama):
    room = tiny_llama.max_length - 10
    ids, cut = encode_prompts(tiny_llama, ["ab", "x" * room + "yz"], 10)
    assert cut == 1
    assert len(ids[1]) == room
    assert ids[1][-2:] == tiny_llama.tokenizer("yz")["input_ids"]


def test_stopping_is_quick_and_loud(tiny_llama):
    with pytest.raises(Cancelled):
        sample_continuations(tiny_llama, PROMPTS, keys(4), SETTINGS, stop=lambda: True)
