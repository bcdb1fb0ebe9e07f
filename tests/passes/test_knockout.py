"""Gates, knock-out and gradient against weight surgery, unbatched brute force and finite differences."""

from __future__ import annotations

import pytest
import torch
from finite_differences import gate_slope, in_float64

from fasp_core.batching import pad_batch
from fasp_core.errors import Cancelled, InputError
from fasp_core.heads import HeadLayout, gate_heads
from fasp_core.knockout import base_log_probs, gradient_log_ratios, knockout_log_ratios

SCORED = (5, 4, 6)


@pytest.fixture(params=["tiny_llama", "tiny_gpt2"])
def lm(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def sequences(lm):
    generator = torch.Generator().manual_seed(1)
    vocab = lm.model.config.vocab_size
    return [torch.randint(3, vocab, (n,), generator=generator).tolist() for n in (12, 9, 15)]


@pytest.fixture
def batch(lm, sequences):
    return pad_batch(sequences, SCORED, pad_id=lm.tokenizer.pad_token_id, device=lm.device)


@torch.no_grad()
def brute_force(model, sequences):
    """Each sequence on its own, without padding, hooks or slicing."""
    out = []
    for ids, n in zip(sequences, SCORED, strict=True):
        log_probs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        out.append(sum(float(log_probs[t - 1, ids[t]]) for t in range(len(ids) - n, len(ids))))
    return torch.tensor(out)


def zero_slice(lm, layer, head):
    """The head's slice of the output projection set to 0 by hand; returns the weight to restore."""
    projection, size = lm.layout.projections[layer], lm.layout.head_dim
    saved = projection.weight.detach().clone()
    rows = slice(head * size, (head + 1) * size)
    with torch.no_grad():
        if hasattr(projection, "in_features"):
            projection.weight[:, rows] = 0
        else:
            projection.weight[rows] = 0
    return saved


def test_knockout_equals_zeroing_the_slice_by_hand(lm, batch, sequences):
    heads = list(reversed(range(lm.layout.n_heads)))
    ratios, base = knockout_log_ratios(lm, batch, heads)
    before = brute_force(lm.model, sequences)
    torch.testing.assert_close(base, before, atol=1e-4, rtol=0)
    for column, flat_id in enumerate(heads):
        layer, head = lm.layout.head(flat_id)
        saved = zero_slice(lm, layer, head)
        try:
            expected = brute_force(lm.model, sequences) - before
        finally:
            with torch.no_grad():
                lm.layout.projections[layer].weight.copy_(saved)
        torch.testing.assert_close(ratios[:, column], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("max_tokens", [1, 60, 10**6])
def test_knockout_does_not_depend_on_the_batch_size(lm, batch, max_tokens):
    heads = range(lm.layout.n_heads)
    ratios, _ = knockout_log_ratios(lm, batch, heads, max_tokens=max_tokens)
    torch.testing.assert_close(ratios, knockout_log_ratios(lm, batch, heads)[0], atol=1e-5, rtol=0)


def test_gradient_equals_finite_differences(lm, batch):
    lm = in_float64(lm)
    ratios, base = gradient_log_ratios(lm, batch)
    torch.testing.assert_close(base.double(), base_log_probs(lm, batch), atol=1e-4, rtol=0)
    for flat_id in range(lm.layout.n_heads):
        slope = gate_slope(lm, flat_id, lambda: base_log_probs(lm, batch))
        torch.testing.assert_close(ratios[:, flat_id].double(), -slope, atol=5e-3, rtol=5e-3)


def test_gradient_of_a_batch_is_that_of_each_sequence(lm, batch, sequences):
    together, _ = gradient_log_ratios(lm, batch)
    for row, (ids, n) in enumerate(zip(sequences, SCORED, strict=True)):
        alone = pad_batch([ids], [n], pad_id=lm.tokenizer.pad_token_id, device=lm.device)
        torch.testing.assert_close(gradient_log_ratios(lm, alone)[0][0], together[row], atol=1e-4, rtol=1e-4)


def hooks(model):
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules())


def test_nothing_is_left_behind(lm, batch, sequences):
    before = brute_force(lm.model, sequences)
    with pytest.raises(RuntimeError, match="on purpose"), gate_heads(lm.model, off=[(0, 1)]):
        raise RuntimeError("on purpose")
    knockout_log_ratios(lm, batch, [0, lm.layout.n_heads - 1])
    gradient_log_ratios(lm, batch)
    with pytest.raises(Cancelled):
        knockout_log_ratios(lm, batch, [lm.layout.n_heads - 1], stop=lambda: True)
    assert hooks(lm.model) == 0
    assert all("forward" not in module.__dict__ for module in lm.model.modules())
    assert torch.equal(brute_force(lm.model, sequences), before)


def test_nan_under_one_knockout_leaves_the_others(lm, batch):
    """Head 0 of layer 0 silenced makes the projection's output NaN; only that head's column is NaN."""
    size = lm.layout.head_dim

    def break_when_silent(module, args, output):
        silent = (args[0][..., :size] == 0).all(2).all(1)[:, None, None]
        return torch.where(silent, torch.nan, output)

    clean, _ = knockout_log_ratios(lm, batch, [0, 1])
    handle = lm.layout.projections[0].register_forward_hook(break_when_silent)
    try:
        ratios, _ = knockout_log_ratios(lm, batch, [0, 1])
    finally:
        handle.remove()
    assert ratios[:, 0].isnan().all()
    torch.testing.assert_close(ratios[:, 1], clean[:, 1])


def test_layout_of_the_tiny_models(tiny_llama, tiny_gpt2):
    for lm in (tiny_llama, tiny_gpt2):
        config, layout = lm.model.config, lm.layout
        assert (layout.n_layers, layout.heads_per_layer) == (config.num_hidden_layers, config.num_attention_heads)
        assert layout.head(layout.flat_id(1, 2)) == (1, 2)
    assert tiny_llama.layout.query_group == 2
    assert tiny_gpt2.layout.query_group == 1


def test_heads_that_do_not_exist_are_refused(lm):
    for head in [(99, 0), (0, 99), (-1, 0)]:
        with pytest.raises(InputError, match="does not exist"), gate_heads(lm.model, off=[head]):
            pass


def test_a_model_without_heads_is_refused_by_name():
    class Plain(torch.nn.Module):
        class config:
            @staticmethod
            def get_text_config():
                return object()

    with pytest.raises(InputError, match="Plain"):
        HeadLayout.of(Plain())
