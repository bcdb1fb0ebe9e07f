"""A model's own generation settings (its `generation_config.json`), and how to keep them out.

Instruct models ship with penalties, temperatures and more. `generate` fills up the settings that it is given from those
of the model, so they would reach every sample. Here only the end tokens count.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import GenerationConfig, PreTrainedModel

from fasp_core.models.language_model import LanguageModel

# Settings that change no sample: which tokens are special, and what is returned or kept besides.
HARMLESS = {
    "bos_token_id",
    "eos_token_id",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "transformers_version",
    "use_cache",
}


@contextmanager
def without_own_settings(model: PreTrainedModel) -> Iterator[None]:
    """While inside, `generate` finds no settings of the model's own."""
    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def end_tokens(lm: LanguageModel) -> list[int]:
    """The tokens that end a text: those of the generation settings, else the tokenizer's."""
    configured = lm.model.generation_config.eos_token_id
    if configured is None:
        configured = lm.tokenizer.eos_token_id
    if configured is None:
        return []
    return list(configured) if isinstance(configured, list | tuple) else [configured]


def settings_set_aside(lm: LanguageModel) -> dict[str, Any]:
    """The generation settings of a model that would change samples and are not used."""
    asked = lm.model.generation_config.to_diff_dict()
    set_aside = {name: value for name, value in asked.items() if name not in HARMLESS and value is not None}
    return {name: value for name, value in set_aside.items() if not name.startswith("_")}  # where the config came from


def set_aside_note(lm: LanguageModel) -> str | None:
    """One line about `settings_set_aside` for a study's record; None where there are none."""
    if not (asked := settings_set_aside(lm)):
        return None
    named = ", ".join(f"{name} {value}" for name, value in sorted(asked.items()))
    return f"texts are sampled from the model's own distribution; its generation settings were set aside: {named}"
