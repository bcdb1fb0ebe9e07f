"""Where heads are found: layouts of known models, decoders of encoder-decoder configs, refusals by name."""

from __future__ import annotations

import pytest
import torch

from fasp_core.errors import InputError
from fasp_core.models.heads import HeadLayout, gate_heads


def test_layout_of_the_tiny_models(tiny_llama, tiny_gpt2):
    for lm in (tiny_llama, tiny_gpt2):
        config, layout = lm.model.config, lm.layout
        assert (layout.n_layers, layout.heads_per_layer) == (config.num_hidden_layers, config.num_attention_heads)
        assert layout.head(layout.flat_id(1, 2)) == (1, 2)
    assert tiny_llama.layout.query_group == 2
    assert tiny_gpt2.layout.query_group == 1


def test_heads_that_do_not_exist_are_refused(tiny_llama):
    for head in [(99, 0), (0, 99), (-1, 0)]:
        with pytest.raises(InputError, match="does not exist"), gate_heads(tiny_llama.model, off=[head]):
            pass


def test_a_model_without_heads_is_refused_by_name():
    class Plain(torch.nn.Module):
        class config:
            @staticmethod
            def get_text_config():
                return object()

    with pytest.raises(InputError, match="Plain"):
        HeadLayout.of(Plain())


def test_a_gate_halves_a_heads_output(tiny_llama):
    from fasp_core.models.heads import apply_gates

    ids, seen = torch.arange(3, 9)[None], []
    layout = tiny_llama.layout
    gates = torch.ones(layout.n_layers, layout.heads_per_layer)
    gates[0, 2] = 0.5
    with apply_gates(layout, gates):
        handle = layout.projections[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        tiny_llama.model(ids)
        handle.remove()
    handle = layout.projections[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    tiny_llama.model(ids)
    handle.remove()
    gated, intact = (x.unflatten(-1, (layout.heads_per_layer, layout.head_dim)) for x in seen)
    assert torch.equal(gated[:, :, 2], intact[:, :, 2] / 2)
    assert torch.equal(gated[:, :, [0, 1, 3]], intact[:, :, [0, 1, 3]])
