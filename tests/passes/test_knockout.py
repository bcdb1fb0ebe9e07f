"""Gates, knock-out and gradient: worked by hand, and against weight surgery, brute force and finite differences."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from helpers.finite_differences import gate_slope, in_float64

from fasp_core.errors import Cancelled
from fasp_core.models.batching import pad_batch
from fasp_core.models.heads import HeadLayout, gate_heads
from fasp_core.models.language_model import LanguageModel
from fasp_core.passes.knockout import (
    base_log_probs,
    gradient_log_ratios,
    knockout_log_ratios,
    token_log_probs,
    weighted_log_ratios,
)

SCORED = (5, 4, 6)


class OneLayer(torch.nn.Module):
    """One layer, two heads of size 1, two tokens a and b. After a, both heads write 1; the projection turns that into
    ln 3 more for a (head 0) and ln 2 more for b (head 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = torch.nn.Embedding.from_pretrained(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
        self.projection, self.unembedding = (torch.nn.Linear(2, 2, bias=False) for _ in range(2))
        with torch.no_grad():
            self.projection.weight.copy_(torch.tensor([[math.log(3), 0.0], [0.0, math.log(2)]]))
            self.unembedding.weight.copy_(torch.eye(2))

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.attention

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.unembedding

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> SimpleNamespace:
        return SimpleNamespace(logits=self.unembedding(self.projection(self.attention(input_ids))))


def test_one_layer_by_hand():
    """Intact, P(a) : P(b) = 3 : 2. Without head 0 it is 1 : 2, without head 1 it is 3 : 1."""
    net, cpu = OneLayer(), torch.device("cpu")
    layout = HeadLayout(1, 2, 1, 1, (net.projection,), (net.projection,))
    lm = LanguageModel("by hand", "hand", net, None, layout, cpu, torch.float32, "", None, torch.float32)
    batch = pad_batch([[0, 0], [0, 1]], [1, 1], pad_id=0, device=cpu)  # "a" after "a", "b" after "a"
    exact, base = knockout_log_ratios(lm, batch, [0, 1], max_tokens=100)
    torch.testing.assert_close(base.exp(), torch.tensor([3 / 5, 2 / 5]))
    # (1/3) / (3/5), (3/4) / (3/5); (2/3) / (2/5), (1/4) / (2/5)
    torch.testing.assert_close(exact.exp(), torch.tensor([[5 / 9, 5 / 4], [5 / 3, 5 / 8]]))
    # −∂ log P(x) / ∂ gate = −(what the head adds to x's logit − its mean over both tokens):
    # head 0: −(ln 3 − 3/5 ln 3) for a, +3/5 ln 3 for b; head 1: +2/5 ln 2 for a, −(ln 2 − 2/5 ln 2) for b
    by_hand = [[-0.4 * math.log(3), 0.4 * math.log(2)], [0.6 * math.log(3), -0.6 * math.log(2)]]
    torch.testing.assert_close(gradient_log_ratios(lm, batch)[0], torch.tensor(by_hand))


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


def test_weighted_gradients_equal_finite_differences(lm, batch):
    """Any weight for every token; weights of 1 give the log-ratios, of 0 exactly nothing."""
    lm = in_float64(lm)
    weights = torch.randn(3, *batch.scored.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weights[1], weights[2] = 1.0, 0.0
    found = weighted_log_ratios(lm, batch, weights)
    torch.testing.assert_close(found[1], gradient_log_ratios(lm, batch)[0])
    assert not found[2].any()
    for flat_id in range(lm.layout.n_heads):

        @torch.no_grad()
        def measure():
            return (weights[0] * token_log_probs(lm.model, batch)).sum(-1)

        torch.testing.assert_close(
            found[0, :, flat_id].double(), -gate_slope(lm, flat_id, measure), atol=5e-3, rtol=5e-3
        )


def test_gradient_of_a_batch_is_that_of_each_sequence(lm, batch, sequences):
    together, _ = gradient_log_ratios(lm, batch)
    for row, (ids, n) in enumerate(zip(sequences, SCORED, strict=True)):
        alone = pad_batch([ids], [n], pad_id=lm.tokenizer.pad_token_id, device=lm.device)
        torch.testing.assert_close(gradient_log_ratios(lm, alone)[0][0], together[row], atol=1e-4, rtol=1e-4)


def hooks(model):
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules())


def test_nothing_is_left_behind(lm, batch, sequences):
    before, n_hooks = brute_force(lm.model, sequences), hooks(lm.model)  # transformers may have put hooks of its own
    with pytest.raises(RuntimeError, match="on purpose"), gate_heads(lm.model, off=[(0, 1)]):
        raise RuntimeError("on purpose")
    knockout_log_ratios(lm, batch, [0, lm.layout.n_heads - 1])
    gradient_log_ratios(lm, batch)
    with pytest.raises(Cancelled):
        knockout_log_ratios(lm, batch, [lm.layout.n_heads - 1], stop=lambda: True)
    assert hooks(lm.model) == n_hooks
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
