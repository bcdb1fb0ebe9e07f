"""Tiny random language models, built in code in milliseconds: real architectures, no download."""

from __future__ import annotations

import copy

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    StableLmConfig,
)

from fasp_core.models.language_model import LanguageModel

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

# 2 layers × 4 query heads of size 8. Llama's successors share one shape; with `kv_heads` heads of keys and values.
WIDE = {**IDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.3}
SHARED = {**WIDE, "intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 256}
OLD = {**IDS, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "initializer_range": 0.3}
LOCAL = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}

ARCHITECTURES: dict[str, PreTrainedConfig] = {
    "gpt2": GPT2Config(**OLD),
    "gpt_neo": GPTNeoConfig(
        **{k: v for k, v in WIDE.items() if not k.startswith("num_")},
        num_layers=2,
        num_heads=4,
        window_size=8,
        attention_types=[[["global", "local"], 1]],
        max_position_embeddings=256,
    ),
    "gptj": GPTJConfig(**OLD, rotary_dim=4),
    "gpt_neox": GPTNeoXConfig(**WIDE, intermediate_size=48, max_position_embeddings=256),
    "opt": OPTConfig(
        **{k: v for k, v in WIDE.items() if k != "initializer_range"},
        init_std=0.3,
        ffn_dim=48,
        word_embed_proj_dim=32,
        max_position_embeddings=256,
    ),
    "llama_multi_head": LlamaConfig(**{**SHARED, "num_key_value_heads": 4}, attention_bias=True),
    "llama_grouped": LlamaConfig(**SHARED),
    "llama_one_key_head": LlamaConfig(**{**SHARED, "num_key_value_heads": 1}),
    "mistral": MistralConfig(**SHARED, sliding_window=8),
    "qwen2": Qwen2Config(**SHARED),
    "qwen3": Qwen3Config(**SHARED, head_dim=16),
    "gemma2": Gemma2Config(**SHARED, **LOCAL, head_dim=16, query_pre_attn_scalar=16),
    "gemma3": Gemma3TextConfig(**SHARED, **LOCAL, head_dim=16, query_pre_attn_scalar=16),
    "phi3": Phi3Config(**SHARED),
    "bloom": BloomConfig(**WIDE),
    "cohere": CohereConfig(**SHARED, use_qk_norm=True),
    "stablelm": StableLmConfig(**SHARED, qk_layernorm=True, use_qkv_bias=True),
}


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


def make_architecture(name: str) -> LanguageModel:
    """A random model of ARCHITECTURES in which biases and norms are random too, where new models have 0 and 1."""
    lm = make_language_model(ARCHITECTURES[name])
    generator = torch.Generator().manual_seed(1)
    for weight in lm.model.parameters():
        if weight.dim() == 1 or weight.shape[-1] == lm.layout.head_dim:
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.3)
    return lm
