"""Head magnitudes and mask gradients of a study with a model, against weights and gradients summed up plainly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import tiny

from fasp_core.scoring.magnitude import head_magnitudes
from fasp_core.scoring.score_heads import Budget, score_heads
from fasp_core.selection.select_heads import select_heads
from fasp_core.stats.perplexity import WindowSamples
from fasp_core.study.scores import mask_gradients

AXIS = "gender_and_sex"


def published_sum_gpt2(model, layer: int, head: int, size: int = 8, width: int = 32) -> float:
    """The authors' code for GPT-2, written out: columns of the fused projection, rows of the output projection."""
    attention = model.transformer.h[layer].attn
    columns = slice(head * size, (head + 1) * size)
    parts = [attention.c_proj.weight[columns, :].flatten()]
    for part in range(3):
        shifted = slice(columns.start + part * width, columns.stop + part * width)
        parts += [attention.c_attn.weight[:, shifted].flatten(), attention.c_attn.bias[shifted]]
    return torch.cat(parts).norm().item()


def test_gpt2_as_the_authors_sum_it_up(tiny_gpt2):
    magnitudes = head_magnitudes(tiny_gpt2.layout, "GPT2LMHeadModel").reshape(3, 4)
    for layer in range(3):
        for head in range(4):
            assert magnitudes[layer, head] == pytest.approx(published_sum_gpt2(tiny_gpt2.model, layer, head), rel=1e-5)


def test_shared_key_heads_count_whole_for_each_query_head(tiny_llama):
    attention = tiny_llama.model.model.layers[1].self_attn
    rows, shared = slice(24, 32), slice(8, 16)  # query head 3 of 4 uses key/value head 1 of 2
    parts = [attention.q_proj.weight[rows], attention.k_proj.weight[shared], attention.v_proj.weight[shared]]
    parts = [p.flatten() for p in (*parts, attention.o_proj.weight[:, rows])]
    magnitudes = head_magnitudes(tiny_llama.layout, "LlamaForCausalLM")
    assert magnitudes[1 * 4 + 3] == pytest.approx(torch.cat(parts).norm().item(), rel=1e-5)


@pytest.mark.parametrize("name", list(tiny.ARCHITECTURES))
def test_every_architecture_has_magnitudes(name):
    lm = tiny.make_architecture(name)
    magnitudes = head_magnitudes(lm.layout, type(lm.model).__name__)
    assert magnitudes.shape == (8,)
    assert (magnitudes > 0).all()


def test_mask_gradients_by_hand():
    """Two windows of 2 and 4 tokens, two layers of two heads: means of |r| per token, then each layer's norm is 1."""
    gradient = np.array([[6.0, 0.0, 1.0, 0.0], [-12.0, 16.0, 0.0, 0.0]])
    windows = WindowSamples(log_prob=np.zeros(2), n_tokens=np.array([2, 4]), gradient=gradient)
    # layer 0: (3 + 3)/2 = 3 and (0 + 4)/2 = 2; layer 1: 0.25 and 0
    expected = [3 / np.hypot(3, 2), 2 / np.hypot(3, 2), 1.0, 0.0]
    assert mask_gradients(windows, 2) == pytest.approx(expected)


def test_a_scored_study_can_be_pruned_by_both(tiny_llama, tmp_path):
    study = score_heads(tiny_llama, axes=[AXIS], budget=Budget(32, 4, 1), name="s", root=tmp_path)
    scores = study.scores()
    assert scores.column("magnitude_l2") == pytest.approx(head_magnitudes(tiny_llama.layout, "LlamaForCausalLM"))
    for method in ("magnitude_l2", "mask_gradient_l2"):
        assert len(select_heads(scores, method, alpha=0.25).pruned) == 3
