"""A model's generation settings are set aside, and put back; its end tokens stay."""

from __future__ import annotations

import pytest
from helpers import tiny
from transformers import GenerationConfig

from fasp_core.models.generation import end_tokens, set_aside_note, settings_set_aside, without_own_settings


@pytest.fixture
def lm():
    return tiny.make_language_model(tiny.LLAMA)


def test_settings_are_out_of_reach_inside_and_back_after(lm):
    own = lm.model.generation_config
    own.repetition_penalty = 1.1
    with without_own_settings(lm.model):
        assert lm.model.generation_config.to_diff_dict().keys() <= {"transformers_version"}
    assert lm.model.generation_config is own


def test_settings_are_back_after_an_error(lm):
    own = lm.model.generation_config
    with pytest.raises(AttributeError), without_own_settings(lm.model):
        lm.model.generate(input_ids="no ids")
    assert lm.model.generation_config is own


@pytest.mark.parametrize(("configured", "expected"), [(7, [7]), ([7, 8], [7, 8]), (None, [0])])
def test_end_tokens_are_the_models_else_the_tokenizers(lm, configured, expected):
    lm.model.generation_config = GenerationConfig(eos_token_id=configured)
    assert end_tokens(lm) == expected


def test_only_settings_that_would_change_samples_are_noted(lm):
    lm.model.generation_config = GenerationConfig(
        eos_token_id=3, pad_token_id=4, bos_token_id=5, use_cache=True, output_attentions=False
    )
    assert settings_set_aside(lm) == {}
    assert set_aside_note(lm) is None
    lm.model.generation_config.temperature = 0.6
    assert settings_set_aside(lm) == {"temperature": 0.6}
    assert set_aside_note(lm).endswith("were set aside: temperature 0.6")
