"""Least-squares compensation against numpy's lstsq on activations read by hand, on every architecture.

Covers `calibration`, `projection_bias` and `skipping`.
"""

from __future__ import annotations

import contextlib
import copy
import functools

import numpy as np
import pytest
import torch
from helpers import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from fasp_core.errors import Cancelled, InputError
from fasp_core.export.checkpoints import export_checkpoint, load_configuration, load_pruned
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.models import batching
from fasp_core.models.compensation import compensate_heads, compensated_heads, fit_compensation, ridge_regression
from fasp_core.models.heads import HeadLayout, gate_heads
from fasp_core.models.removal import copy_sharing_weights, remove_heads
from fasp_core.selection.select_heads import Selection

HEADS = [(0, 1), (1, 0), (1, 3)]
INTERCEPT = {
    **dict.fromkeys(("gpt2", "gpt_neo", "gpt_neox", "opt", "llama_multi_head", "bloom"), "bias"),
    **dict.fromkeys(("llama_grouped", "llama_one_key_head", "qwen3", "gemma2", "gemma3", "cohere"), "attention_bias"),
    **dict.fromkeys(("gptj", "mistral", "qwen2", "phi3", "stablelm"), None),
}
architectures = pytest.mark.parametrize("name", tiny.ARCHITECTURES)


@functools.cache
def made(name):
    return tiny.make_architecture(name)


def token_windows(lengths=(48, 31, 64, 2, 64), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, 250, (n,), generator=generator).tolist() for n in lengths]


@torch.no_grad()
def written(lm, layer, windows=None):
    """The input and output of one projection at every token, window by window, without padding; float64 arrays."""
    seen = []
    handle = lm.layout.projections[layer].register_forward_hook(lambda m, args, out: seen.append((args[0][0], out[0])))
    try:
        for ids in windows or token_windows():
            lm.model(torch.tensor([ids]), use_cache=False)
    finally:
        handle.remove()
    return tuple(torch.cat(parts).double().numpy() for parts in zip(*seen, strict=True))


@torch.no_grad()
def logits(model):
    return model(torch.tensor([token_windows()[2], token_windows()[4]]), use_cache=False).logits


def weights_of(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def places(lm, layer):
    size = lm.layout.head_dim
    gone = [h * size + i for where, h in HEADS if where == layer for i in range(size)]
    return np.setdiff1d(np.arange(size * lm.layout.heads_per_layer), gone), np.array(gone)


@architectures
def test_the_refit_is_numpys_least_squares_in_the_order_of_the_layers(name):
    """Layer 1 is fitted on what it gets after layer 0's refit; the intercept is kept where the architecture can."""
    lm = made(name)
    fitted = fit_compensation(lm, HEADS, token_windows(), ridge=0.0)
    assert fitted.intercept == INTERCEPT[name]
    assert fitted.n_tokens == sum(map(len, token_windows()))
    for layer, refit in enumerate(fitted.layers):
        part = copy.copy(fitted)
        object.__setattr__(part, "layers", fitted.layers[:layer])
        with compensated_heads(lm.model, part):
            x, _ = written(lm, layer)
        kept, gone = places(lm, layer)
        projection = lm.layout.projections[layer]
        weight = projection.weight.double().numpy()
        weight = weight if name == "gpt2" else weight.T
        inputs = np.hstack([x[:, kept], np.ones((len(x), 1))]) if fitted.intercept else x[:, kept]
        lost = x[:, gone] @ weight[gone]
        found, *_ = np.linalg.lstsq(inputs, lost, rcond=None)
        expected = np.zeros_like(weight)
        expected[kept] = weight[kept] + found[: len(kept)]
        got = refit.weight.double().numpy()
        scale = np.abs(expected).max()
        np.testing.assert_allclose(got if name == "gpt2" else got.T, expected, atol=2e-4 * scale)
        if fitted.intercept:
            bias = 0 if projection.bias is None else projection.bias.double().numpy()
            np.testing.assert_allclose(refit.bias.double().numpy(), bias + found[-1], atol=1e-3 * scale)
        else:
            assert refit.bias is None
        residual = lost - inputs @ found
        assert refit.lost == pytest.approx((lost**2).sum(1).mean(), rel=1e-4)
        assert refit.left == pytest.approx((residual**2).sum(1).mean(), rel=1e-3)


@architectures
@settings(max_examples=5, derandomize=True)
@given(
    heads=st.sets(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=1),
    how=st.sampled_from(["mean", "least_squares"]),
    ridge=st.sampled_from([0.0, 0.01, 3.0]),
)
def test_the_output_on_the_calibration_text_is_never_worse_than_the_hole(name, heads, how, ridge):
    """Also where all heads of a layer go; the error is read off the model, not off the fit."""
    lm = made(name)
    fitted = fit_compensation(lm, heads, token_windows(), how=how, ridge=ridge)
    for index, refit in enumerate(fitted.layers):
        below = copy.copy(fitted)
        object.__setattr__(below, "layers", fitted.layers[:index])
        with compensated_heads(lm.model, below):
            _, whole = written(lm, refit.layer)
            with gate_heads(lm.model, [head for head in heads if head[0] == refit.layer]):
                _, hole = written(lm, refit.layer)
        upto = copy.copy(fitted)
        object.__setattr__(upto, "layers", fitted.layers[: index + 1])
        with compensated_heads(lm.model, upto):
            _, refitted = written(lm, refit.layer)
        lost, left = (((whole - other) ** 2).sum(1).mean() for other in (hole, refitted))
        assert left <= lost * (1 + 1e-5)
        assert (lost, left) == (pytest.approx(refit.lost, rel=1e-3), pytest.approx(refit.left, rel=1e-3, abs=1e-6))


@architectures
def test_the_model_is_the_same_bit_for_bit_after_the_context_and_after_an_error(name):
    lm = made(name)
    before, parameters = weights_of(lm.model), dict(lm.model.named_parameters())
    intact = logits(lm.model)
    fitted = fit_compensation(lm, HEADS, token_windows())
    with contextlib.suppress(ZeroDivisionError), compensated_heads(lm.model, fitted):
        assert not torch.equal(logits(lm.model), intact)
        raise ZeroDivisionError
    assert all(parameters[name] is weight for name, weight in lm.model.named_parameters())
    assert weights_of(lm.model).keys() == before.keys()
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(lm.model).items())
    assert torch.equal(logits(lm.model), intact)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in lm.model.modules())
    assert not any("forward" in vars(module) for module in lm.model.modules())


@architectures
def test_in_place_equals_the_context_before_removal_and_after(name):
    lm = made(name)
    heads = [(1, 0), (1, 1), (1, 2)]
    fitted = fit_compensation(lm, heads, token_windows())
    before = weights_of(lm.model)
    with compensated_heads(lm.model, fitted):
        expected = logits(lm.model)
    model = compensate_heads(copy_sharing_weights(lm.model), fitted)
    torch.testing.assert_close(logits(model), expected)
    torch.testing.assert_close(logits(remove_heads(copy_sharing_weights(model), heads)), expected)
    touched = [p for p, m in model.named_modules() if m is HeadLayout.of(model).projections[1]]
    for key, weight in model.state_dict().items():
        if key.rpartition(".")[0] not in touched:
            assert torch.equal(weight, before[key]) if key in before else not weight.any()
    assert all(torch.equal(weight, before[key]) for key, weight in lm.model.state_dict().items())


@architectures
@pytest.mark.parametrize("heads", [((0, 1), (1, 0), (1, 3)), tuple((1, h) for h in range(4))], ids=["some", "a layer"])
def test_both_forms_of_checkpoint_carry_the_refit(name, heads, tmp_path, short_text):
    """Reloaded by plain transformers (masked) and without the base model (compact), the config's switch included."""
    lm = made(name)
    fitted = fit_compensation(lm, heads, token_windows())
    before, expected_config = weights_of(lm.model), lm.model.config.to_dict()
    with compensated_heads(lm.model, fitted):
        expected = logits(lm.model)
    config = config_of(lm, heads, compensate="least_squares")
    masked = export_checkpoint(lm, config, tmp_path / "masked", form="masked")
    compact = export_checkpoint(lm, config, tmp_path / "compact", form="compact")
    for model in (AutoModelForCausalLM.from_pretrained(masked), load_pruned(compact)):
        torch.testing.assert_close(logits(model), expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
        switch = getattr(model.config, "attention_bias", None)
        assert (
            switch is True if fitted.intercept == "attention_bias" else switch == expected_config.get("attention_bias")
        )
    record = load_configuration(compact).compensation
    assert (record.n_tokens, record.intercept) == (fitted.n_tokens, fitted.intercept or "none")
    assert all(torch.equal(weight, before[name]) for name, weight in lm.model.state_dict().items())
    assert lm.model.config.to_dict() == expected_config


@pytest.fixture
def short_text(monkeypatch):
    """Refits of exports are on these windows, which are quicker than the packaged text."""
    monkeypatch.setattr("fasp_core.evaluation.compensation.calibration_windows", lambda *_: token_windows())


def config_of(lm, heads, compensate="none"):
    selection = Selection(
        pruned=tuple(heads),
        protected=(),
        method="random",
        axis=None,
        gamma=0.0,
        alpha=0.5,
        n_layers=lm.layout.n_layers,
        heads_per_layer=lm.layout.heads_per_layer,
    )
    return PruningConfig.from_selection(selection, lm, compensate=compensate)


def test_the_mean_goes_to_the_bias_and_nowhere_else(tiny_gpt2):
    fitted = fit_compensation(tiny_gpt2, [(1, 2)], token_windows(), how="mean")
    x, _ = written(tiny_gpt2, 1)
    projection, rows = tiny_gpt2.layout.projections[1], slice(16, 24)
    weight = projection.weight.double().numpy()
    (refit,) = fitted.layers
    np.testing.assert_allclose(
        refit.bias.numpy(), projection.bias.numpy() + x[:, rows].mean(0) @ weight[rows], atol=1e-5
    )
    expected = projection.weight.clone()
    expected[rows] = 0
    assert torch.equal(refit.weight, expected)


def test_without_a_place_for_an_intercept_the_mean_is_the_hole():
    lm = made("mistral")
    fitted = fit_compensation(lm, HEADS, token_windows(), how="mean")
    assert fitted.intercept is None
    assert all(refit.left == refit.lost for refit in fitted.layers)
    with gate_heads(lm.model, HEADS):
        hole = logits(lm.model)
    with compensated_heads(lm.model, fitted):
        torch.testing.assert_close(logits(lm.model), hole)


def test_a_head_that_others_copy_is_given_back_whole():
    """Planted: head 1 of layer 0 writes what heads 0 and 2 write together, so nothing is lost with it."""
    lm = tiny.make_language_model(tiny.ARCHITECTURES["gpt2"])
    attention = lm.layout.layers[0].attn
    with torch.no_grad():
        qkv = attention.c_attn
        qkv.weight[:, :64] = 0  # all tokens are attended to alike, by every head
        qkv.bias[:64] = 0
        value = slice(64, 96)
        weight, bias = qkv.weight[:, value], qkv.bias[value]
        weight[:, 8:16], bias[8:16] = weight[:, :8] + weight[:, 16:24], bias[:8] + bias[16:24]
    intact = logits(lm.model)
    fitted = fit_compensation(lm, [(0, 1)], token_windows(), ridge=0.0)
    (refit,) = fitted.layers
    assert refit.left < 1e-6 * refit.lost
    with compensated_heads(lm.model, fitted):
        torch.testing.assert_close(logits(lm.model), intact, atol=1e-3, rtol=0)
    with gate_heads(lm.model, [(0, 1)]):
        assert (logits(lm.model) - intact).abs().max() > 0.1


def test_batches_do_not_matter(tiny_llama, monkeypatch):
    whole = fit_compensation(tiny_llama, [(0, 1), (2, 2)], token_windows())
    monkeypatch.setattr(batching, "ACTIVATION_BYTES", 1)
    single = fit_compensation(tiny_llama, [(0, 1), (2, 2)], token_windows())
    for a, b in zip(whole.layers, single.layers, strict=True):
        torch.testing.assert_close(a.weight, b.weight, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(a.bias, b.bias, atol=1e-5, rtol=1e-4)


def test_memory_that_runs_out_halves_the_batch(tiny_llama, monkeypatch):
    expected = fit_compensation(tiny_llama, [(0, 1), (2, 2)], token_windows())
    forward = type(tiny_llama.model).forward

    def small(self, input_ids, **inputs):
        if input_ids.shape[0] > 2:
            raise torch.OutOfMemoryError
        return forward(self, input_ids, **inputs)

    monkeypatch.setattr(type(tiny_llama.model), "forward", small)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    got = fit_compensation(tiny_llama, [(0, 1), (2, 2)], token_windows())
    assert got.n_tokens == expected.n_tokens
    torch.testing.assert_close(got.layers[1].weight, expected.layers[1].weight, atol=1e-5, rtol=1e-4)


def test_no_head_no_refit(tiny_llama):
    fitted = fit_compensation(tiny_llama, [], token_windows())
    assert (fitted.heads, fitted.layers, fitted.n_tokens) == ((), (), 0)


def test_bad_input_is_refused_and_a_stop_leaves_the_model_as_it_was(tiny_llama):
    before = weights_of(tiny_llama.model)
    with pytest.raises(InputError, match=r"unknown compensation 'least_square'; did you mean 'least_squares'\?"):
        fit_compensation(tiny_llama, HEADS, token_windows(), how="least_square")
    with pytest.raises(InputError, match=r"head \(3, 0\) does not exist"):
        fit_compensation(tiny_llama, [(3, 0)], token_windows())
    with pytest.raises(InputError, match="there is no calibration text"):
        fit_compensation(tiny_llama, HEADS, [[], []])
    calls = iter([False] * 5 + [True])
    with pytest.raises(Cancelled, match="calibration was stopped"):
        fit_compensation(tiny_llama, HEADS, token_windows(), stop=lambda: next(calls))
    assert all(torch.equal(weight, before[name]) for name, weight in tiny_llama.model.state_dict().items())


def test_dependent_inputs_give_the_smallest_coefficients():
    """Two equal inputs and no penalty: each takes half, as numpy's lstsq has it."""
    x = np.random.default_rng(0).normal(size=(50, 1))
    rows = torch.tensor(np.hstack([x, x, 3 * x]))
    found = ridge_regression(rows.T @ rows / 50, torch.tensor([0, 1]), torch.tensor([2]), ridge=0.0)
    np.testing.assert_allclose(found.numpy(), [[1.5], [1.5]], atol=1e-6)
