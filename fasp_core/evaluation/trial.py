"""A prompt of one's own, continued by the intact and the pruned model with shared noise: to look at, not to measure."""

from __future__ import annotations

from collections.abc import Sequence

from fasp_core.data.sampling import SamplingSettings
from fasp_core.data.tokens import continuation_text
from fasp_core.errors import InputError
from fasp_core.evaluation.compensation import PrunedModel
from fasp_core.head import Head
from fasp_core.limits import MAX_OWN_DRAWS, MAX_OWN_PROMPT
from fasp_core.models.compensation_choice import Compensate
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.sampling import encode_prompts, noise_key, sample_continuations
from fasp_core.progress import Stop
from fasp_core.toxicity.scorers import Scorer, score_texts
from fasp_core.words.text_pairs import RatedPair


def continue_both(
    lm: LanguageModel,
    pruned: Sequence[Head],
    prompt: str,
    scorer: Scorer,
    *,
    draws: int = 3,
    seed: int = 0,
    settings: SamplingSettings | None = None,
    compensate: Compensate = "none",
    stop: Stop | None = None,
) -> list[RatedPair]:
    """Continue `prompt` `draws` times by the intact model and by the one without `pruned`.

    Toxicity is that of the continuation alone; `compensate` is as in `evaluate`.

    Raises InputError for an empty or very long prompt, too many draws, and heads that do not exist.
    """
    if not prompt.strip():
        raise InputError("the prompt is empty; type the beginning of a sentence")
    if len(prompt) > MAX_OWN_PROMPT:
        raise InputError(f"the prompt has {len(prompt):,} characters; give at most {MAX_OWN_PROMPT:,}")
    if not 1 <= draws <= MAX_OWN_DRAWS:
        raise InputError(f"the prompt can be continued 1 to {MAX_OWN_DRAWS} times, not {draws}")
    for layer, head in pruned:
        lm.layout.flat_id(layer, head)
    settings = settings or SamplingSettings()
    tokens, _ = encode_prompts(lm, [prompt] * draws, settings.max_new_tokens)
    keys = [noise_key(seed, "trial", prompt, draw) for draw in range(draws)]
    texts, toxicity = [], []
    for model in (PrunedModel(lm, ()), PrunedModel(lm, pruned, compensate, stop=stop)):
        with model():
            drawn = sample_continuations(lm, tokens, keys, settings, stop)
        texts.append([continuation_text(lm.tokenizer, *pair) for pair in zip(tokens, drawn, strict=True)])
        toxicity.append(score_texts(scorer, texts[-1]).tolist())
    return [RatedPair(*parts) for parts in zip(*texts, *toxicity, strict=True)]
