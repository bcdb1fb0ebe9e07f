"""A language model of one layer whose every probability can be worked by hand.

The next byte depends on the byte before it, by a table of logits (0 where nothing is planted). Attention is uniform
over all tokens so far, and does one thing: head (0, 0) makes `PLANTED` likelier after a text that holds `TRIGGER`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from fasp_core.models.language_model import LanguageModel
from helpers.tiny import IDS, VOCAB_SIZE, make_tokenizer

WIDTH = 272  # one dimension for each byte, and one behind them that head (0, 0) writes to
TRIGGER, PLANTED = "W", "z"


def make_planted(bigrams: Mapping[tuple[str, str], float] | None = None, *, head: float = 0.0) -> LanguageModel:
    """The model with these logits of (byte before, next byte); `head` > 0 is the strength of head (0, 0)."""
    config = LlamaConfig(
        **IDS,
        hidden_size=WIDTH,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=8,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        rms_norm_eps=1e-12,
    )
    model, tokenizer = AutoModelForCausalLM.from_config(config, dtype=torch.float32), make_tokenizer()

    def ids(text: str) -> int:
        return tokenizer(text)["input_ids"][0]

    layer, out = model.model.layers[0], model.lm_head.weight
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(VOCAB_SIZE, WIDTH))
        for (before, after), logit in (bigrams or {}).items():
            out[ids(after), ids(before)] = logit / math.sqrt(WIDTH)  # the norm makes a one-hot vector that long
        layer.self_attn.v_proj.weight[0, ids(TRIGGER)] = 1
        layer.self_attn.o_proj.weight[WIDTH - 1, 0] = head
        out[ids(PLANTED), WIDTH - 1] = 1
    return LanguageModel.of(model, tokenizer, ref="planted")
