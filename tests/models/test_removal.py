"""The rules of removal: which key/value heads stay, what is refused, and that nothing else of the model changes."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
import torch
from helpers import tiny
from helpers.gguf_file import one_token_more, write_gguf
from transformers import (
    AutoModelForCausalLM,
    DeepseekV3Config,
    GPTBigCodeConfig,
    JambaConfig,
    Mamba2Config,
    MambaConfig,
    Olmo2Config,
    RwkvConfig,
)

from fasp_core.errors import InputError
from fasp_core.models.heads import HeadLayout, gate_heads
from fasp_core.models.open_model import open_model
from fasp_core.models.removal import copy_sharing_weights, mask_heads, remove_heads

SMALL = {**tiny.WIDE, "intermediate_size": 48}
WITHOUT_HEADS = {
    "Mamba": MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=8),
    "Mamba2": Mamba2Config(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=8, num_heads=8, head_dim=8, n_groups=2
    ),
    "Rwkv": RwkvConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, context_length=32),
}
# Heads can be knocked out, but their weights are not separable or not known.
NOT_REMOVABLE = {
    "keys from a shared latent": DeepseekV3Config(
        **SMALL,
        num_key_value_heads=4,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
        first_k_dense_replace=2,
        n_routed_experts=4,
        n_group=1,
        topk_group=1,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
    ),
    "a norm over all heads": Olmo2Config(**SMALL, num_key_value_heads=4),
    "a fused layout not known": GPTBigCodeConfig(**tiny.OLD),
}


def build(config):
    return AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32).eval()


def logits(model):
    with torch.no_grad():
        return model(torch.arange(3, 23)[None]).logits


@pytest.mark.parametrize("name", WITHOUT_HEADS)
def test_an_architecture_without_heads_is_refused_by_name(name):
    with pytest.raises(InputError, match=rf"^{name}ForCausalLM has no attention heads .* without heads"):
        HeadLayout.of(build(WITHOUT_HEADS[name]))


def test_mixed_layers_are_refused_by_name():
    config = JambaConfig(
        **SMALL,
        num_key_value_heads=2,
        attn_layer_period=2,
        attn_layer_offset=1,
        use_mamba_kernels=False,
        num_experts=2,
        num_experts_per_tok=1,
        mamba_d_state=4,
        mamba_dt_rank=4,
    )
    with pytest.raises(InputError, match=r"^JambaForCausalLM mixes attention with layers that have no heads"):
        HeadLayout.of(build(config))


@pytest.mark.parametrize("kind", NOT_REMOVABLE)
def test_what_is_not_understood_is_gated_and_masked_but_not_cut(kind):
    model = build(NOT_REMOVABLE[kind])
    before = logits(model)
    with pytest.raises(InputError, match=f"heads of {type(model).__name__} can be knocked out but not removed: "):
        remove_heads(model, [(1, 1), (0, 0)])
    assert torch.equal(logits(model), before)
    with gate_heads(model, [(1, 1), (0, 0)]):
        gated = logits(model)
    assert not torch.allclose(gated, before)
    torch.testing.assert_close(logits(mask_heads(model, [(1, 1), (0, 0)])), gated)


@pytest.mark.parametrize("change", [remove_heads, mask_heads])
@pytest.mark.parametrize("head", [(2, 0), (0, 4), (-1, 0), (0, -1)])
def test_heads_that_do_not_exist_change_nothing(change, head):
    model = tiny.make_architecture("llama_grouped").model
    before = logits(model)
    with pytest.raises(InputError, match=rf"head \({head[0]}, {head[1]}\) does not exist: layers are 0…1, heads 0…3"):
        change(model, [(0, 1), head])
    assert torch.equal(logits(model), before)


def test_quantized_weights_are_not_cut():
    model = tiny.make_architecture("llama_grouped").model

    class Packed(torch.nn.Linear):
        pass

    model.model.layers[0].self_attn.v_proj = Packed(32, 16, bias=False)
    with pytest.raises(InputError, match="a projection is a Packed, not plain weights"):
        remove_heads(model, [(0, 0)])


def test_removing_twice_is_refused():
    model = remove_heads(tiny.make_architecture("llama_grouped").model, [(0, 1)])
    with pytest.raises(InputError, match="heads were removed from this LlamaForCausalLM already"):
        remove_heads(model, [(1, 0)])


def test_a_head_named_twice_is_removed_once_and_order_does_not_matter():
    lm = tiny.make_architecture("gpt2")
    one, other = (copy.deepcopy(lm.model) for _ in range(2))
    remove_heads(one, [(0, 2), (0, 1), (0, 2)])
    remove_heads(other, iter([(0, 1), (0, 2)]))
    assert one.removed_heads == other.removed_heads == ((0, 1), (0, 2))
    assert torch.equal(logits(one), logits(other))


def test_removing_nothing_leaves_the_model_whole():
    model = tiny.make_architecture("qwen3").model
    before = logits(model)
    assert torch.equal(logits(remove_heads(model, [])), before)


def test_a_copy_shares_weights_and_its_pruning_leaves_the_original():
    lm = tiny.make_architecture("llama_grouped")
    before = logits(lm.model)
    other = copy_sharing_weights(lm.model)
    assert all(a is b for a, b in zip(lm.model.parameters(), other.parameters(), strict=True))
    remove_heads(other, [(0, 0), (1, 1), (1, 2), (1, 3), (1, 0)])
    mask_heads(copy_sharing_weights(lm.model), [(0, 0)])
    assert torch.equal(logits(lm.model), before)


@torch.no_grad()
def test_the_cache_holds_each_key_head_once_and_beams_reorder_it():
    lm = tiny.make_architecture("llama_grouped")
    heads = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1)]
    model = remove_heads(copy.deepcopy(lm.model), heads)
    ids = torch.arange(3, 13)[None]
    cache = model(ids, use_cache=True).past_key_values
    assert cache.get_seq_length() == 10  # although its first layer has no heads
    assert cache.layers[1].keys.shape[1] == 2
    options = {"num_beams": 3, "max_new_tokens": 8, "do_sample": False, "pad_token_id": 1}
    with gate_heads(lm.model, heads):
        expected = lm.model.generate(ids, attention_mask=torch.ones_like(ids), **options)
    assert torch.equal(model.generate(ids, attention_mask=torch.ones_like(ids), **options), expected)
    assert torch.equal(model.generate(ids, attention_mask=torch.ones_like(ids), use_cache=False, **options), expected)


def test_a_model_straight_from_a_gguf_file_is_pruned_like_any(tmp_path):
    lm = open_model(str(write_gguf(tmp_path / "tiny.gguf", one_token_more())), device="cpu")
    heads = [(0, 0), (0, 1), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3)]
    with gate_heads(lm.model, heads):
        gated = logits(lm.model)
    removed = remove_heads(copy.deepcopy(lm.model), heads)
    assert float((logits(removed) - gated).abs().max() / gated.abs().max()) <= 1e-5
    assert removed.num_parameters() < lm.model.num_parameters()


def test_a_pruned_model_can_be_trained_and_copied():
    model = remove_heads(tiny.make_architecture("llama_grouped").model.requires_grad_(True), [(0, 1), (1, 0), (1, 1)])
    other = copy.deepcopy(model)
    other(torch.arange(3, 13)[None], labels=torch.arange(3, 13)[None]).loss.backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in other.parameters())
    assert Counter(type(p) for p in other.parameters()) == {torch.nn.Parameter: sum(1 for _ in model.parameters())}
