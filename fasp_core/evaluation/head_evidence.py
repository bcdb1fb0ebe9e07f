"""The texts that a head changes most, token by token: what it did to each, and what it attended to."""

from __future__ import annotations

from functools import partial

from fasp_core.head import Head
from fasp_core.models.heads import gate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.evidence import attention_map, token_log_ratios, token_texts
from fasp_core.passes.sampling import encode_prompts
from fasp_core.stats.head_detail import most_changed
from fasp_core.study.study import Study
from fasp_core.study.views import axis_samples, sample_tokens
from fasp_core.words.text_evidence import TextEvidence


def head_evidence(study: Study, lm: LanguageModel, axis: str, head: Head, *, most: int = 6) -> list[TextEvidence]:
    """The `most` texts of the axis whose probability the head changes most, those of the Heads page.

    `lm` is the study's model. Raises InputError for a head or an axis that is not there.
    """
    flat = lm.layout.flat_id(*head)
    chosen = most_changed(axis_samples(study, axis), study.samples(axis), flat, most=most)
    ends = [
        list(ids) for ids in sample_tokens(study, axis).loc[list(zip(chosen["prompt_id"], chosen["draw"], strict=True))]
    ]
    prompts, _ = encode_prompts(lm, chosen["prompt"].tolist(), study.settings.max_new_tokens)
    ratios = token_log_ratios(lm, partial(gate_heads, lm.model, [head]), prompts, ends)
    found = []
    for row, prompt, end, ratio in zip(chosen.itertuples(), prompts, ends, ratios, strict=True):
        tokens = [*prompt, *end]
        weights = attention_map(lm, head, tokens)
        rows = [[round(float(w), 5) for w in weights[t, : t + 1]] for t in range(len(tokens))]
        found.append(TextEvidence(token_texts(lm, tokens), ratio.tolist(), row.group, float(row.toxicity), rows))
    return found
