"""Which tokens of a text some heads make likelier or less likely, and what one head attends to on the way.

The log-ratio of a token is log p(token | its past, without the heads) − log p(token | its past), in nats;
> 0: likelier without them. Those of a continuation sum to its log-ratio, by which single heads are scored (`knockout`).
Letters: S tokens of a continuation, T tokens of prompt and continuation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise

import numpy as np
import torch
from transformers import PreTrainedModel

from fasp_core.errors import InputError
from fasp_core.head import Head, head_text
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.coupling import Tokens, continuation_log_probs


def token_log_ratios(
    lm: LanguageModel, pruned: Callable[[], AbstractContextManager[None]], prompts: Tokens, continuations: Tokens
) -> list[np.ndarray]:
    """The log-ratio of every token of each continuation, (S,) each; prompts are token ids too.

    While inside the context that `pruned()` gives, `lm` is the model without the heads; outside it is intact.
    """
    intact = continuation_log_probs(lm, prompts, continuations)
    with pruned():
        without = continuation_log_probs(lm, prompts, continuations)
    return [np.subtract(after, before) for before, after in zip(intact, without, strict=True)]


@torch.no_grad()
def attention_map(lm: LanguageModel, head: Head, tokens: Sequence[int]) -> np.ndarray:
    """What the head attends to on one text, (T, T): row t holds the weights over tokens 0…t, which sum to 1.

    Raises InputError for a head that does not exist, or a model that gives out no attention weights.
    """
    lm.layout.flat_id(*head)
    layer, place = head
    with _weights_given_out(lm.model):
        ids = torch.tensor([list(tokens)], device=lm.device)
        given = lm.model(input_ids=ids, use_cache=False, output_attentions=True).attentions
    if not given or given[layer] is None or given[layer].shape[1] != lm.layout.heads_per_layer:
        raise InputError(f"{lm.name} gives out no attention weights of head {head_text(head)}; leave the map out")
    return given[layer][0, place].double().cpu().numpy()


def token_texts(lm: LanguageModel, tokens: Sequence[int]) -> list[str]:
    """The text that each token adds; joined they are the whole text.

    A character that several tokens make is that of the last of them.
    """
    decoded = [str(lm.tokenizer.decode(list(tokens[:t]))).rstrip("\ufffd") for t in range(len(tokens))]
    decoded.append(str(lm.tokenizer.decode(list(tokens))))
    return [after[len(before) :] for before, after in pairwise(decoded)]


@contextmanager
def _weights_given_out(model: PreTrainedModel) -> Iterator[None]:
    """Only the plain attention of transformers gives out its weights; the model's own is put back afterwards."""
    before = str(model.config._attn_implementation)
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
