"""Tiny random models of any causal architecture of transformers, and what proves knocking out and removal right.

Sizes have other names in each architecture's config; here they are set by name wherever a config has them. Weights are
large enough that each head changes the logits, and biases and norms are random, where new models have 0 and 1.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from fasp_core.errors import InputError
from fasp_core.head import Head, all_heads
from fasp_core.models.batching import TokenBatch, model_inputs, pad_batch
from fasp_core.models.heads import HeadLayout, gate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.removal import mask_heads, remove_heads
from tests.helpers import tiny

NEW_TOKENS, TOLERANCE = 20, 1e-5
MAX_PARAMETERS = 20_000_000
SHAPE = {
    "width": (
        "hidden_size",
        "d_model",
        "n_embd",
        "dim",
        "emb_dim",
        "embedding_dim",
        "embedding_size",
        "word_embed_proj_dim",
    ),
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "num_decoder_layers"),
    "heads": (
        "num_attention_heads",
        "n_head",
        "n_heads",
        "num_heads",
        "attention_heads",
        "decoder_attention_heads",
        "num_decoder_attention_heads",
    ),
    "key_heads": ("num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads"),
    "head_dim": (
        "head_dim",
        "kv_channels",
        "v_head_dim",
        "swa_head_dim",
        "attention_head_dim",
        "attention_head_size",
        "global_head_dim",
    ),
    "biased": ("attention_bias", "bias", "use_bias", "enable_bias", "use_qkv_bias", "qkv_bias", "mlp_bias"),
    "tied": ("tie_word_embeddings",),
}
SIZES = {
    "first_k_dense_replace": 1,
    "hidden_size_per_layer_input": 8,
    "kv_lora_rank": 16,
    "max_position_embeddings": 256,
    "max_seq_len": 256,
    "model_max_length": 256,
    "n_ctx": 256,
    "n_group": 1,
    "n_positions": 256,
    "num_expert_group": 1,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 4,
    "qk_rope_head_dim": 4,
    "rotary_dim": 4,
    "sliding_window": 8,
    "swa_num_attention_heads": 4,
    "topk_group": 1,
    "type_vocab_size": 1,
    "laurel_rank": 4,
    "linear_key_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_value_head_dim": 8,
    "mamba_d_head": 16,
    "mamba_n_heads": 4,
    "mamba_num_heads": 4,
    "mamba_head_dim": 16,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "num_encoder_layers": 1,
    "num_encoder_attention_heads": 2,
    "attention_dropout": 0.0,
    "query_pre_attn_scalar": 8,
    "index_topk": 64,
    "index_n_heads": 2,
    "index_head_dim": 8,
}
EXPERTS, CHOSEN_EXPERTS = 4, 2
UNGROUPED = {"dots3_note", "dots3_note_text"}
# What the entries of one config must agree on.
ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
SPECIAL = {
    "cohere_compass_text": {"rope_parameters": {"full_attention": ROPE, "sliding_attention": ROPE}},
    "dbrx": lambda shape: {"attn_config": {"kv_n_heads": shape.key_heads, "rope_theta": 10_000.0, "clip_qkv": 8.0}},
    "dots1": {"n_routed_experts": EXPERTS, "n_shared_experts": 1, "moe_intermediate_size": 48},
    "dots3_note_text": {"per_layer_config": {}},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gpt_neo": lambda shape: {"attention_types": [[["global"], 1], [["local"], shape.layers - 1]], "window_size": 8},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 4, "head_dim": 16},
    "reformer": {"axial_pos_embds": False, "attn_layers": ["local", "local"]},
    "zamba": {"layer_types": ["mamba", "hybrid"]},
    "zamba2": {"layer_types": ["mamba", "hybrid"]},
    "zaya": {"num_experts_per_tok": 1},
}


@dataclass(frozen=True)
class Shape:
    """What is set in a config; None leaves the architecture's own choice."""

    layers: int = 2
    heads: int = 4
    key_heads: int = 2
    head_dim: int = 8
    biased: bool | None = None
    tied: bool | None = None


def tiny_config(model_type: str, shape: Shape = Shape()) -> PreTrainedConfig:
    """A config of this architecture with a vocabulary of bytes and these sizes, wherever it has a place for them."""
    kind = CONFIG_MAPPING[model_type]
    return kind(**_small(kind().to_dict(), shape))


def _small(default: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """The entries of a config that are set, those of nested configs too."""
    model_type = default.get("model_type")
    if model_type in UNGROUPED or "kv_lora_rank" in default:
        shape = replace(shape, key_heads=shape.heads)
    values = {**vars(shape), "width": shape.heads * shape.head_dim}
    known = {name: values[what] for what, names in SHAPE.items() for name in names if values[what] is not None}
    made = {}
    for name, value in default.items():
        if name == "head_dim" and "qk_rope_head_dim" in default:
            made[name] = SIZES["qk_rope_head_dim"]  # of keys from a shared latent, what is rotated
        elif name == "num_experts_per_tok":
            made[name] = CHOSEN_EXPERTS  # None in some
        elif name in known and not isinstance(value, list | dict):
            made[name] = known[name]
        elif name in SIZES and value is not None:
            made[name] = SIZES[name]
        elif name == "num_kv_shared_layers":
            made[name] = min(value or 0, 1)
        elif name == "is_decoder":
            made[name] = True  # of models that may be encoders too
        elif name in tiny.IDS:
            made[name] = tiny.IDS[name]
        elif isinstance(value, dict) and name.endswith("_config") and value.get("model_type") in CONFIG_MAPPING:
            made[name] = {"model_type": value["model_type"], **_small(value, shape)}
        elif isinstance(value, int) and not isinstance(value, bool):
            if "vocab_size" in name:
                made[name] = tiny.VOCAB_SIZE
            elif name.endswith("_token_id"):
                made[name] = 2
            elif "intermediate_size" in name or "ffn" in name or name in ("d_ff", "dff", "dim_ff", "n_inner"):
                made[name] = 48
            elif "experts_per" in name or name in ("moe_topk", "moe_k", "num_experts_per_tok"):
                made[name] = CHOSEN_EXPERTS
            elif name.endswith(("num_experts", "num_local_experts", "n_routed_experts")):
                made[name] = EXPERTS
            elif name.endswith("shared_experts"):
                made[name] = 1
    special = SPECIAL.get(model_type, {})
    return made | (special(shape) if callable(special) else special)


def random_model(config: PreTrainedConfig, *, seed: int = 0) -> PreTrainedModel:
    """A model whose weights, biases and norms are all random; raises InputError for one that is not tiny."""
    with torch.device("meta"):
        count = AutoModelForCausalLM.from_config(copy.deepcopy(config)).num_parameters()
    if count > MAX_PARAMETERS:
        raise InputError(f"its tiny config still makes {count:,} weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = (
            AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32).eval().requires_grad_(False)
        )
        for weight in model.parameters():
            if weight.dim() == 1:
                weight.add_(torch.randn(weight.shape), alpha=0.3)
            elif weight.dim() == 2:
                weight.normal_(0.0, 1.5 / min(weight.shape) ** 0.5 if min(weight.shape) > 1 else 0.3)
    return model


def opened(model: PreTrainedModel) -> LanguageModel:
    """The model with a tokenizer of bytes, as `open_model` gives it before its self-check."""
    return LanguageModel.of(model, tiny.make_tokenizer(), ref=f"tiny {model.config.model_type}")


def _two_sequences() -> TokenBatch:
    """Two sequences of which one is padded on the left."""
    ids = torch.randint(3, tiny.VOCAB_SIZE, (2, 12), generator=torch.Generator().manual_seed(2))
    return pad_batch([ids[0].tolist(), ids[1, 4:].tolist()], [1, 1], pad_id=1, device=torch.device("cpu"))


@torch.no_grad()
def logits_of(model: PreTrainedModel) -> Tensor:
    """Logits of two sequences of which one is padded on the left, (tokens, V)."""
    batch = _two_sequences()
    return model(**model_inputs(model, batch)).logits[batch.mask.bool()]


@torch.no_grad()
def behaviour(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """The same logits, and what is generated from the two sequences with the cache."""
    batch = _two_sequences()
    tokens = model.generate(
        batch.ids,
        attention_mask=batch.mask,
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        do_sample=False,
        pad_token_id=1,
    )
    return logits_of(model), tokens


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference of logits, as a share of the largest of the first; NaN where one is NaN."""
    return float((one - other).abs().max() / one.abs().max())


def difference(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> str | None:
    """How two behaviours differ; None if logits agree to 1e-5 of the largest and all tokens are equal."""
    share = apart(one[0], other[0])
    if not share <= TOLERANCE:  # NaN too
        return f"logits differ by {share:.1e}"
    same = one[1] == other[1]
    return None if bool(same.all()) else f"{int((~same).sum())} of {2 * NEW_TOKENS} tokens differ"


def removal_verdict(model: PreTrainedModel, heads: Sequence[Head]) -> str:
    """`exact`, `refused: why`, or `WRONG: how` a model without the heads differs from the one with them gated."""
    try:
        smaller = remove_heads(copy.deepcopy(model), heads)
    except InputError as error:
        return f"refused: {error}"
    with gate_heads(model, heads):
        expected = behaviour(model)
    found = difference(expected, behaviour(smaller))
    return "exact" if found is None else f"WRONG: {found}"


def knock_out_fault(model: PreTrainedModel) -> str | None:
    """What is wrong with knocking out heads of a model that passed its self-check; None if nothing is.

    A gate at 0 is the head's slice of the projection zeroed by hand; each head changes the logits; and what is
    generated in a padded batch with the cache is what each text alone gives, read anew for every token.
    """
    layout, intact = HeadLayout.of(model), behaviour(model)
    for heads in ([(0, 0)], [(layer, layer % layout.heads_per_layer) for layer in range(layout.n_layers)]):
        share = apart(_gated(model, heads), logits_of(mask_heads(copy.deepcopy(model), heads)))
        if not share <= TOLERANCE:
            return f"a gate and a zeroed slice: logits differ by {share:.1e}"
    for head in all_heads(layout.n_layers, layout.heads_per_layer):
        if not apart(intact[0], _gated(model, [head])) > TOLERANCE:
            return f"head {head} changes nothing"
    return _generation_fault(model, intact[1])


def _gated(model: PreTrainedModel, heads: Sequence[Head]) -> Tensor:
    with gate_heads(model, heads):
        return logits_of(model)


@torch.no_grad()
def _generation_fault(model: PreTrainedModel, generated: Tensor) -> str | None:
    for row, skipped in enumerate((0, 4)):
        ids = generated[row, skipped:]
        alone = model(input_ids=ids[None], use_cache=False).logits[0]
        chosen = alone[-NEW_TOKENS - 1 : -1]
        largest = chosen.max(-1)
        given = chosen.gather(-1, ids[-NEW_TOKENS:, None])[:, 0]
        allowed = torch.finfo(torch.float32).eps * 1e3 * chosen.abs().max()
        if bool((largest.values - given > allowed).any()) and not _forced(ids[-NEW_TOKENS:], largest.indices, model):
            return "tokens of a padded batch with the cache are not those of the text alone"
    return None


def _forced(ids: Tensor, best: Tensor, model: PreTrainedModel) -> bool:
    """Whether all differences are at end tokens, which `min_new_tokens` forbids."""
    ends = model.generation_config.eos_token_id
    ends = torch.tensor([ends] if isinstance(ends, int) else ends or [])
    return bool(torch.isin(best[ids != best], ends).all())
