"""A model laid over devices, whose hooks move what passes from one to the next, measures what it does on one.

There is one device here, and the hooks of several: what is measured has to go through them, and leave them be.
"""

from __future__ import annotations

import pytest
import torch
from accelerate import dispatch_model
from helpers import tiny

from fasp_core.errors import InputError
from fasp_core.models.batching import pad_batch
from fasp_core.models.heads import gate_heads
from fasp_core.models.language_model import choose_device
from fasp_core.models.open_model import open_model
from fasp_core.passes.knockout import base_log_probs, gradient_log_ratios, knockout_log_ratios
from fasp_core.passes.sampling import SamplingSettings, sample_continuations

CONFIGS = {"llama": tiny.LLAMA, "gpt2": tiny.GPT2}


def measured(lm):
    tokens = [[5, 9, 7, 11, 30], [40, 8, 3, 22, 16]]
    batch = pad_batch(tokens, [4, 4], pad_id=1, device=lm.device)
    with gate_heads(lm.model, [(1, 2)]):
        gated = base_log_probs(lm, batch)
    heads = range(lm.layout.n_heads)
    sampled = sample_continuations(lm, tokens, ["a", "b"], SamplingSettings(max_new_tokens=4))
    return [gated, *gradient_log_ratios(lm, batch), *knockout_log_ratios(lm, batch, heads)], sampled


@pytest.mark.parametrize("name", CONFIGS)
def test_hooks_between_layers_change_nothing_and_stay(name):
    plain, laid = (tiny.make_language_model(CONFIGS[name]) for _ in range(2))
    leaves = {name: "cpu" for name, module in laid.model.named_modules() if not list(module.children())}
    dispatch_model(laid.model, leaves, force_hooks=True)
    forwards = [layer.__dict__.get("forward") for layer in laid.layout.layers]
    for _ in range(2):
        (expected, texts), (found, same_texts) = measured(plain), measured(laid)
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
        assert texts == same_texts
    assert [layer.__dict__.get("forward") for layer in laid.layout.layers] == forwards


def test_an_instance_s_own_forward_is_put_back(tiny_llama):
    from fasp_core.models.skipping import layers_replaced

    layer = tiny.make_language_model(tiny.LLAMA).layout.layers[0]
    layer.forward = own = lambda *args, **kwargs: "own"
    with layers_replaced([layer], lambda: "replaced"):
        assert layer.forward() == "replaced"
    assert layer.__dict__["forward"] is own


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_one_line():
    with pytest.raises(InputError, match=r"PyTorch sees 0 GPUs"):
        choose_device("split")
    with pytest.raises(InputError, match=r"PyTorch sees 0 GPUs"):
        open_model("default", device="split")
