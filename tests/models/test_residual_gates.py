"""Residual gates: at 0 the head's removal with compensation, at 1 nothing; gradients against finite differences."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from helpers import tiny
from helpers.finite_differences import gate_slope, in_float64
from helpers.supplied_head import with_a_supplied_head

from fasp_core.models.batching import pad_batch
from fasp_core.models.compensation import compensated_heads, fit_compensation
from fasp_core.models.heads import apply_gates
from fasp_core.models.residual_gates import fit_residuals
from fasp_core.passes.knockout import base_log_probs, gradient_log_ratios, knockout_log_ratios

WINDOWS = [torch.randint(3, 250, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in (64, 48, 31, 60)]
SCORED = (5, 4, 6)


def batch_of(lm):
    generator = torch.Generator().manual_seed(1)
    sequences = [torch.randint(3, 250, (n,), generator=generator).tolist() for n in (12, 9, 15)]
    return pad_batch(sequences, SCORED, pad_id=lm.tokenizer.pad_token_id, device=lm.device)


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_a_gate_at_0_is_removal_with_compensation(name):
    """The same calibration text; every head alone, by gates and in the exact tier."""
    lm = tiny.make_architecture(name)
    residuals, batch = fit_residuals(lm, WINDOWS), batch_of(lm)
    heads = range(lm.layout.n_heads)
    exact, base = knockout_log_ratios(lm, batch, heads, hook_of=residuals.hook)
    for flat in heads:
        with compensated_heads(lm.model, fit_compensation(lm, [lm.layout.head(flat)], WINDOWS)):
            expected = base_log_probs(lm, batch)
        gates = torch.ones(lm.layout.n_layers, lm.layout.heads_per_layer)
        gates[lm.layout.head(flat)] = 0.0
        with apply_gates(lm.layout, gates, residuals.hook):
            torch.testing.assert_close(base_log_probs(lm, batch), expected, atol=1e-3, rtol=0)
        torch.testing.assert_close(exact[:, flat], expected - base, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["gpt2", "llama_grouped", "mistral"])
def test_the_gradient_equals_finite_differences(name):
    lm = in_float64(tiny.make_architecture(name))
    residuals, batch = fit_residuals(lm, WINDOWS), batch_of(lm)
    ratios, _ = gradient_log_ratios(lm, batch, hook_of=residuals.hook)
    for flat in range(lm.layout.n_heads):
        slope = gate_slope(lm, flat, lambda: base_log_probs(lm, batch), residuals.hook)
        torch.testing.assert_close(ratios[:, flat].double(), -slope, atol=5e-3, rtol=5e-3)


def test_gates_at_1_change_nothing(tiny_llama):
    residuals, batch = fit_residuals(tiny_llama, WINDOWS), batch_of(tiny_llama)
    gates = torch.ones(3, tiny_llama.layout.n_layers, tiny_llama.layout.heads_per_layer)
    before = base_log_probs(tiny_llama, batch)
    with apply_gates(tiny_llama.layout, gates, residuals.hook):
        assert torch.equal(base_log_probs(tiny_llama, batch), before)


def test_a_copied_head_scores_zero_and_a_head_of_its_own_does_not():
    """Planted: head 1 of layer 0 writes what heads 0 and 2 write together. The others supply it, so nothing goes."""
    lm = in_float64(with_a_supplied_head())
    residuals = fit_residuals(lm, WINDOWS, ridge=1e-9)
    ratios, _ = gradient_log_ratios(lm, batch_of(lm), hook_of=residuals.hook)
    plain, _ = gradient_log_ratios(lm, batch_of(lm))
    assert ratios[:, :3].abs().max() < 1e-3 < 0.1 < plain[:, 1].abs().max()
    assert ratios[:, 3].abs().max() > 0.01


def test_residuals_are_kept_in_the_precision_of_the_model(tiny_llama):
    half = replace(tiny_llama, model=copy.deepcopy(tiny_llama.model).bfloat16(), dtype=torch.bfloat16)
    half = replace(half, layout=type(half.layout).of(half.model))
    residuals = fit_residuals(half, WINDOWS)
    assert (residuals.maps.dtype, residuals.means.dtype) == (torch.bfloat16, torch.bfloat16)
    assert gradient_log_ratios(half, batch_of(half), hook_of=residuals.hook)[0].isfinite().all()
