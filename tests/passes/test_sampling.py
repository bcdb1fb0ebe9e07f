"""Samples follow the model's distribution, depend on their key alone, and are coupled between models."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from helpers.drawn import PROMPTS, chi_square, keys
from transformers import GenerationConfig

from fasp_core.errors import Cancelled
from fasp_core.models.generation import set_aside_note, settings_set_aside
from fasp_core.models.heads import gate_heads
from fasp_core.models.open_model import open_model
from fasp_core.passes import sampling
from fasp_core.passes.sampling import (
    GumbelNoise,
    SamplingSettings,
    encode_prompts,
    sample_continuations,
)

SETTINGS = SamplingSettings(max_new_tokens=6)


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


def test_a_token_that_the_model_would_never_write_is_never_drawn():
    """Chance of one in 2,000 steps: 1e-18. Noise that is infinite once in 2²³ numbers would force 12 of them."""
    scores = torch.full((1, 50_000), -60.0)
    scores[0, 7] = 0.0
    noise = GumbelNoise(["key"])
    assert {int(noise(torch.zeros(1, 1), scores).argmax()) for _ in range(2000)} == {7}


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
    assert cut == [False, True]
    assert len(ids[1]) == room
    assert ids[1][-2:] == tiny_llama.tokenizer("yz")["input_ids"]


def test_stopping_is_quick_and_loud(tiny_llama):
    with pytest.raises(Cancelled):
        sample_continuations(tiny_llama, PROMPTS, keys(4), SETTINGS, stop=lambda: True)


# A value of each generation setting that would change samples, or fail, if it reached them; others get 1.
HOSTILE = {
    "assistant_confidence_threshold": 0.9,
    "bad_words_ids": [[token] for token in range(3, 200)],
    "begin_suppress_tokens": list(range(3, 200)),
    "cache_config": {"backend": "none"},
    "cache_implementation": "static",
    "constraints": ["none"],
    "do_sample": True,
    "dola_layers": "low",
    "early_stopping": True,
    "epsilon_cutoff": 0.5,
    "eta_cutoff": 0.5,
    "exponential_decay_length_penalty": (1, 5.0),
    "forced_bos_token_id": 7,
    "forced_eos_token_id": 7,
    "guidance_scale": 5.0,
    "max_time": 1e-9,
    "min_length": 400,
    "min_new_tokens": 50,
    "no_repeat_ngram_size": 1,
    "num_beam_groups": 2,
    "num_beams": 3,
    "num_return_sequences": 3,
    "penalty_alpha": 0.9,
    "prompt_lookup_num_tokens": 3,
    "repetition_penalty": 9.0,
    "return_dict_in_generate": True,
    "sequence_bias": [[[7], 50.0]],
    "stop_strings": ["a"],
    "suppress_tokens": list(range(3, 200)),
    "temperature": 5.0,
    "top_p": 0.01,
    "watermarking_config": {"greenlist_ratio": 0.25, "bias": 20.0},
}
FIELDS = sorted(set(vars(GenerationConfig())) - {"eos_token_id"})  # the end tokens are the model's


@pytest.fixture
def own_settings(tiny_llama):
    """The generation config of the shared model, to be changed for one test."""
    model, saved = tiny_llama.model, tiny_llama.model.generation_config
    model.generation_config = GenerationConfig(eos_token_id=saved.eos_token_id)
    yield model.generation_config
    model.generation_config = saved


def many(lm):
    return sample_continuations(lm, [PROMPTS[0]] * 100, keys(100), SETTINGS)


@pytest.mark.parametrize("field", FIELDS)
def test_no_generation_setting_of_the_model_reaches_a_sample(tiny_llama, own_settings, field):
    expected = many(tiny_llama)
    setattr(own_settings, field, HOSTILE.get(field, 1))
    assert many(tiny_llama) == expected
    assert tiny_llama.model.generation_config is own_settings


@pytest.mark.parametrize("field", ["repetition_penalty", "suppress_tokens", "no_repeat_ngram_size"])
def test_the_settings_tried_above_would_change_samples(tiny_llama, own_settings, field, monkeypatch):
    expected = many(tiny_llama)
    monkeypatch.setattr(sampling, "without_own_settings", lambda model: nullcontext())
    setattr(own_settings, field, HOSTILE[field])
    assert many(tiny_llama) != expected


@pytest.mark.parametrize(
    "asked",
    [{"repetition_penalty": 1.1}, {"num_beams": 3}, {"do_sample": True, "temperature": 0.6, "top_p": 0.9}],
)
def test_what_a_folder_asks_for_is_noted_and_not_done(tiny_llama, tmp_path, asked):
    tiny_llama.model.save_pretrained(tmp_path)
    tiny_llama.tokenizer.save_pretrained(tmp_path)
    plain = open_model(tmp_path, device="cpu")
    assert set_aside_note(plain) is None
    file = tmp_path / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **asked}))
    lm = open_model(tmp_path, device="cpu")
    assert lm.fingerprint == plain.fingerprint
    n = 40
    expected = sample_continuations(plain, [PROMPTS[0]] * n, keys(n), SETTINGS)
    assert sample_continuations(lm, [PROMPTS[0]] * n, keys(n), SETTINGS) == expected
    assert settings_set_aside(lm) == asked
    named = ", ".join(f"{name} {value}" for name, value in sorted(asked.items()))
    assert set_aside_note(lm).endswith(f"its generation settings were set aside: {named}")


def test_settings_are_put_back_after_an_error(tiny_llama, own_settings):
    with pytest.raises(Cancelled):
        sample_continuations(tiny_llama, PROMPTS, keys(4), SETTINGS, stop=lambda: True)
    assert tiny_llama.model.generation_config is own_settings
