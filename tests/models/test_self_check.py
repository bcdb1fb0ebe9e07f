"""The self-check passes what is right and names what is wrong: architectures, planted faults, and the field's cases."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from helpers import tiny
from transformers import (
    AutoModelForCausalLM,
    BartConfig,
    BertConfig,
    CodeGenConfig,
    Gemma3nTextConfig,
    LlamaForCausalLM,
    Qwen3NextConfig,
    RobertaConfig,
    XGLMConfig,
)
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP

from fasp_core.data.sampling import SamplingSettings
from fasp_core.errors import InputError
from fasp_core.models import self_check
from fasp_core.models.batching import bytes_per_token, model_inputs, pad_batch
from fasp_core.models.heads import HeadLayout, gate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.models.open_model import open_model
from fasp_core.models.removal import remove_heads
from fasp_core.models.self_check import check_model
from fasp_core.passes.sampling import sample_continuations

ENCODER = {
    **{k: v for k, v in tiny.WIDE.items() if k != "initializer_range"},
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
BART = BartConfig(
    **tiny.IDS,
    d_model=32,
    encoder_layers=3,
    decoder_layers=2,
    encoder_attention_heads=4,
    decoder_attention_heads=8,
    encoder_ffn_dim=48,
    decoder_ffn_dim=48,
    max_position_embeddings=64,
)
XGLM = XGLMConfig(**tiny.IDS, d_model=32, num_layers=2, attention_heads=4, ffn_dim=48, max_position_embeddings=64)
QWEN3_NEXT = Qwen3NextConfig(
    **tiny.IDS,
    hidden_size=32,
    num_hidden_layers=4,
    intermediate_size=48,
    num_experts=4,
    num_experts_per_tok=2,
    moe_intermediate_size=16,
    shared_expert_intermediate_size=16,
)
GEMMA3N = Gemma3nTextConfig(
    **tiny.SHARED,
    head_dim=8,
    num_kv_shared_layers=1,
    layer_types=["full_attention", "full_attention"],
    vocab_size_per_layer_input=tiny.VOCAB_SIZE,
    hidden_size_per_layer_input=8,
    laurel_rank=4,
    activation_sparsity_pattern=[0.0, 0.0],
)


def made(config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def opened(config):
    return LanguageModel.of(made(config), tiny.make_tokenizer(), ref="the-model")


def saved(model, folder, **config):
    """The folder of a model with the byte tokenizer; `config` changes entries of its config.json."""
    model.save_pretrained(folder)
    tiny.make_tokenizer().save_pretrained(folder)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return folder


def refusal(lm, root):
    with pytest.raises(InputError) as caught:
        check_model(lm, root)
    assert "\n" not in str(caught.value)
    assert not list(root.rglob("*.json"))
    return str(caught.value)


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_the_architectures_that_are_tested_pass(name, tmp_path):
    check_model(tiny.make_architecture(name), tmp_path)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_is_no_fault(dtype, tmp_path):
    lm = tiny.make_architecture("llama_grouped")
    check_model(replace(lm, model=lm.model.to(dtype), dtype=dtype, layout=HeadLayout.of(lm.model)), tmp_path)


def test_a_decoder_made_of_bert_passes_and_an_encoder_does_not(tmp_path):
    check_model(opened(BertConfig(**ENCODER, is_decoder=True)), tmp_path / "decoder")
    (tmp_path / "encoder").mkdir()
    message = refusal(opened(BertConfig(**ENCODER, is_decoder=False)), tmp_path / "encoder")
    assert message.startswith("the-model: BertLMHeadModel cannot be measured: it is not causal")
    assert "set is_decoder to true" in message


def test_a_config_without_a_padding_token_is_no_fault(tmp_path):
    config = CodeGenConfig(vocab_size=tiny.VOCAB_SIZE, n_embd=32, n_layer=2, n_head=4, rotary_dim=4, n_positions=64)
    assert not hasattr(config, "pad_token_id")
    check_model(opened(config), tmp_path)


@pytest.mark.parametrize("config", [RobertaConfig(**ENCODER, is_decoder=True), BART], ids=["roberta", "bart"])
def test_positions_that_padding_moves_are_refused(config, tmp_path):
    assert "logits change when it is padded on the left" in refusal(opened(config), tmp_path)


def test_the_heads_of_a_decoder_are_the_decoders():
    layout = HeadLayout.of(made(BART))
    assert (layout.n_layers, layout.heads_per_layer, layout.head_dim) == (2, 8, 4)


def test_linear_attention_has_no_heads_to_score():
    with pytest.raises(InputError, match=r"Qwen3NextForCausalLM mixes attention with layers that have no heads"):
        HeadLayout.of(made(QWEN3_NEXT))


def test_layers_that_share_keys_are_refused_by_name(tmp_path):
    lm = opened(GEMMA3N)
    assert bytes_per_token(lm.model, gradient=True) > 0
    assert refusal(lm, tmp_path).startswith("the-model: Gemma3nForCausalLM cannot be measured: ")


def test_a_forward_that_removal_does_not_understand_leaves_the_model_as_it_was():
    model = made(XGLM)
    ids = torch.arange(3, 15)[None]
    with torch.no_grad():
        before = model(ids).logits
        with gate_heads(model, [(0, 1)]):
            gated = model(ids).logits
    assert not torch.equal(before, gated)
    with pytest.raises(InputError, match="heads of XGLMForCausalLM can be knocked out but not removed: without them"):
        remove_heads(model, [(0, 1)])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"])
def test_weights_that_are_not_numbers_are_found_at_once(value, place, tmp_path):
    model = made(tiny.ARCHITECTURES["llama_grouped"])
    with torch.no_grad():
        model.get_parameter(place)[7, 3] = value  # a row of a single token, in the embedding
    with pytest.raises(InputError, match=f"its weight {place} holds values that are not numbers"):
        open_model(saved(model, tmp_path), device="cpu")


def test_weights_that_the_model_has_no_place_for_are_not_dropped(tmp_path):
    config = tiny.ARCHITECTURES["llama_multi_head"]  # with biases in its attention
    folder = saved(made(config), tmp_path, attention_bias=False)
    with pytest.raises(
        InputError, match=r"holds 8 weights .* no place for, first model\.layers\.0\.self_attn\.k_proj\.bias"
    ):
        open_model(folder, device="cpu")


def test_masks_that_old_versions_saved_are_no_weights(tmp_path):
    from safetensors.torch import load_file, save_file

    model = made(tiny.ARCHITECTURES["gpt_neo"])
    folder = saved(model, tmp_path)
    weights = load_file(folder / "model.safetensors")
    for layer in range(2):
        weights[f"transformer.h.{layer}.attn.attention.bias"] = torch.ones(1, 1, 256, 256, dtype=torch.bool)
        weights[f"transformer.h.{layer}.attn.attention.masked_bias"] = torch.tensor(-1e9)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert open_model(folder, device="cpu").layout.n_heads == 8


def test_a_padding_token_beyond_the_embedding_is_replaced(tmp_path):
    """A "[PAD]" that was added while the embedding was not resized: padding is masked, so any token serves."""
    tokenizer = tiny.make_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert tokenizer.pad_token_id == tiny.VOCAB_SIZE
    lm = LanguageModel.of(made(tiny.ARCHITECTURES["llama_grouped"]), tokenizer, ref="x")
    assert lm.tokenizer.pad_token_id == lm.tokenizer.eos_token_id
    check_model(lm, tmp_path)


def test_a_text_with_a_token_beyond_the_embedding_is_refused():
    """Added to the tokenizer alone, it does no harm until a text holds it."""
    tokenizer = tiny.make_tokenizer()
    tokenizer.add_tokens(["<image>"])
    lm = LanguageModel.of(made(tiny.ARCHITECTURES["llama_grouped"]), tokenizer, ref="x")
    ids = lm.tokenizer("see <image>")["input_ids"]
    assert max(ids) == tiny.VOCAB_SIZE
    message = "holds token 259, added to the tokenizer alone, and the model has only 259 embeddings"
    with pytest.raises(InputError, match=message):
        sample_continuations(lm, [ids], ["key"], SamplingSettings(max_new_tokens=2))
    with pytest.raises(InputError, match=message):
        model_inputs(lm.model, pad_batch([ids], [1], pad_id=0, device=lm.device))


class TestPlanted:
    """Faults put into a model that passes; each is found by its own check."""

    @pytest.fixture
    def lm(self):
        return tiny.make_architecture("llama_multi_head")

    def test_a_look_ahead(self, lm, tmp_path, monkeypatch):
        forward = LlamaMLP.forward
        monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: forward(self, x + 0.01 * x.mean(1, keepdim=True)))
        message = refusal(lm, tmp_path)
        assert "not causal" in message or "padded" in message

    def test_a_cache_that_is_off(self, lm, tmp_path, monkeypatch):
        forward = LlamaForCausalLM.forward

        def shifted(self, *args, past_key_values=None, position_ids=None, **kwargs):
            if past_key_values is not None and past_key_values.get_seq_length():
                position_ids = position_ids + 1
            return forward(self, *args, past_key_values=past_key_values, position_ids=position_ids, **kwargs)

        monkeypatch.setattr(LlamaForCausalLM, "forward", shifted)
        assert "with its cache" in refusal(lm, tmp_path)

    def test_another_way_out_of_the_attention(self, lm, tmp_path, monkeypatch):
        """An attention whose output is squared: zero for the head is not what its gate does."""
        forward = LlamaAttention.forward

        def swapped(self, *args, **kwargs):
            weight = self.o_proj.weight.data
            self.o_proj.weight.data = weight.flip(1)
            hook = self.o_proj.register_forward_pre_hook(lambda module, x: (x[0].flip(-1),), prepend=True)
            out = forward(self, *args, **kwargs)
            hook.remove()
            self.o_proj.weight.data = weight
            return out

        monkeypatch.setattr(LlamaAttention, "forward", swapped)
        assert "knocking out heads is not the same" in refusal(lm, tmp_path)

    def test_a_wrong_number_of_heads(self, lm, tmp_path):
        wrong = replace(lm.layout, heads_per_layer=2, head_dim=16)
        assert "its layer 0 has heads × size of 4 × 8, not 2 × 16" in refusal(replace(lm, layout=wrong), tmp_path)

    def test_projections_that_are_not_used(self, lm, tmp_path):
        layout = replace(lm.layout, projections=tuple(torch.nn.Linear(32, 32) for _ in range(2)))
        assert "not used once in each layer" in refusal(replace(lm, layout=layout), tmp_path)

    def test_what_fails_in_ways_of_its_own_is_one_line(self, lm, tmp_path, monkeypatch):
        monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: {}["not\nthere"])
        assert "the check of its weights failed (KeyError: " in refusal(lm, tmp_path)


def test_a_model_is_checked_once(tmp_path, monkeypatch):
    lm = tiny.make_architecture("llama_grouped")
    check_model(lm, tmp_path)
    (kept,) = (tmp_path / "models" / ".checked").iterdir()
    assert kept.name.startswith(lm.fingerprint)
    monkeypatch.setattr(self_check, "_weights", lambda lm: pytest.fail("checked again"))
    check_model(lm, tmp_path)
    monkeypatch.setattr(self_check, "VERSION", self_check.VERSION + 1)
    with pytest.raises(pytest.fail.Exception):
        check_model(lm, tmp_path)


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path):
    (tmp_path / "models").write_text("a file")
    check_model(tiny.make_architecture("llama_grouped"), tmp_path)


def test_a_checkpoint_with_masked_heads_passes(tmp_path):
    from fasp_core.models.removal import mask_heads

    lm = tiny.make_architecture("llama_grouped")
    mask_heads(lm.model, [(0, head) for head in range(4)])
    check_model(LanguageModel.of(lm.model, lm.tokenizer, ref="masked"), tmp_path)
