"""Tiny random language models, built in code in milliseconds: real architectures, no download."""

from __future__ import annotations

import copy

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)

from fasp_core.models import LanguageModel

SPECIAL_TOKENS = ("<|end|>", "<|pad|>", "<|unk|>")
VOCAB_SIZE = len(SPECIAL_TOKENS) + 256
IDS = {"vocab_size": VOCAB_SIZE, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
# Large enough that every head changes the output visibly.
WEIGHT_STD = 0.4

LLAMA = LlamaConfig(
    **IDS,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=512,
    initializer_range=WEIGHT_STD,
)
GPT2 = GPT2Config(**IDS, n_embd=32, n_layer=3, n_head=4, n_positions=512, initializer_range=WEIGHT_STD)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, so that any text has ids and comes back unchanged."""
    symbols = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    end, pad, unk = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=end, bos_token=end, pad_token=pad, unk_token=unk
    )


def make_language_model(config: PreTrainedConfig, *, seed: int = 0) -> LanguageModel:
    """A random model of this config, whose `vocab_size` must be at least VOCAB_SIZE, with the byte tokenizer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32)
    return LanguageModel.of(model, make_tokenizer(), ref=f"tiny-{config.model_type}")
