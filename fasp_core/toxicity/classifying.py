"""A classifier's probability of one label for many texts, in batches that memory bounds.

`detoxify` and `hf_classifier` share it. Of a text that is too long the end is rated, which holds the continuation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from fasp_core.models.batching import ACTIVATION_BYTES, in_batches


@torch.inference_mode()
def label_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    probability: Callable[[Tensor], Tensor],
    *,
    longest: int,
) -> np.ndarray:
    """One number for each text, float64 (n,); `probability` makes it from logits, (B, labels) to (B).

    Texts of like length share a batch; one that does not fit the device's memory is halved.
    """
    if not len(texts):
        return np.empty(0)
    start = next(
        i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, 0) if i is not None
    )
    ids = [row or [start] for row in tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]]
    scores = np.empty(len(ids))

    def rate(rows: list[int]) -> None:
        batch = tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
        scores[rows] = probability(model(**batch.to(model.device)).logits).double().cpu().numpy()

    in_batches([len(i) for i in ids], tokens_per_batch(model.config), rate)
    return scores


def longest_input(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens the model has positions for; RoBERTa and its like count positions from the padding's id + 1."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or tokenizer.model_max_length
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            positions = module.num_embeddings - module.padding_idx - 1
    return min(tokenizer.model_max_length, positions)


def tokens_per_batch(config: PreTrainedConfig) -> int:
    """Padded tokens whose activations (of a layer at a time) stay below the bound of all batches."""
    shape = config.get_text_config()
    inner = getattr(shape, "intermediate_size", None) or 4 * shape.hidden_size
    return max(1, ACTIVATION_BYTES // (4 * (12 * shape.hidden_size + 4 * inner)))
