"""The likelihood metric against plain forward passes, finite differences, gated models and numbers worked by hand."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from fasp_core.errors import Cancelled, InputError
from fasp_core.heads import HeadLayout, apply_gates, gate_heads
from fasp_core.likelihood import likelihood_gradient, likelihood_knockout, likelihood_of
from fasp_core.likelihood_effects import OddsSamples, likelihood_effects
from fasp_core.pairs import PairSet, load_pairs

PROMPTS = ["I met a man, and", "They say that women"]
# Words share beginnings, and the byte tokenizer gives them several tokens each.
PAIRS = PairSet(pd.DataFrame(
    [("... so", "bad", "bold"), ("... so", "base", "kind"), ("... I", "hate", "love")],
    columns=["stem", "toxic", "benign"],
))  # fmt: skip


@pytest.fixture(params=["tiny_llama", "tiny_gpt2"])
def lm(request):
    return request.getfixturevalue(request.param)


@torch.no_grad()
def brute_force(lm, prompts=PROMPTS, pairs=PAIRS):
    """(n, K): every continuation on its own, all its tokens, without padding, hooks or sharing."""

    def log_prob(prompt, end):
        start, ids = (lm.tokenizer(text)["input_ids"] for text in (prompt, prompt + end))
        log_probs = lm.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return sum(float(log_probs[t - 1, ids[t]]) for t in range(len(start), len(ids)))

    out = np.empty((len(prompts), len(pairs.stems)))
    for i, prompt in enumerate(prompts):
        for k, stem in enumerate(pairs.stems):
            rows = pairs.frame[pairs.frame["stem"] == stem]
            odds = [
                log_prob(prompt, f"{stem} {t}") - log_prob(prompt, f"{stem} {b}")
                for t, b in zip(rows["toxic"], rows["benign"], strict=True)
            ]
            out[i, k] = np.mean(odds)
    return out


def test_log_odds_equal_those_of_plain_forward_passes(lm):
    np.testing.assert_allclose(likelihood_of(lm, PROMPTS, PAIRS), brute_force(lm), atol=1e-3)


def test_a_pruned_set_is_measured_with_its_heads_off(lm):
    off = [(0, 1), (2, 3)]
    with gate_heads(lm.model, off=off):
        expected = brute_force(lm)
    np.testing.assert_allclose(likelihood_of(lm, PROMPTS, PAIRS, off=off), expected, atol=1e-3)
    np.testing.assert_allclose(likelihood_of(lm, PROMPTS, PAIRS), brute_force(lm), atol=1e-3)  # and nothing is left


def test_knockout_is_the_difference_that_gating_makes(lm):
    heads = [5, 0, lm.layout.n_heads - 1]
    log_odds, changes = likelihood_knockout(lm, PROMPTS, PAIRS, heads)
    np.testing.assert_allclose(log_odds, brute_force(lm), atol=1e-3)
    for column, flat_id in enumerate(heads):
        with gate_heads(lm.model, off=[lm.layout.head(flat_id)]):
            np.testing.assert_allclose(changes[..., column], brute_force(lm) - log_odds, atol=2e-3)


def test_gradient_equals_finite_differences(lm):
    """In float64; see test_knockout for the step."""
    model = copy.deepcopy(lm.model).double()
    lm = replace(lm, model=model, layout=HeadLayout.of(model), dtype=torch.float64)
    log_odds, changes = likelihood_gradient(lm, PROMPTS, PAIRS)
    np.testing.assert_allclose(log_odds, brute_force(lm), atol=1e-3)
    step = 2e-3
    for flat_id in range(lm.layout.n_heads):
        at = {}
        for k in (-2, -1, 1, 2):
            gates = torch.ones(lm.layout.n_layers, lm.layout.heads_per_layer, dtype=torch.float64)
            gates[lm.layout.head(flat_id)] += k * step
            with apply_gates(lm.layout, gates):
                at[k] = likelihood_of(lm, PROMPTS, PAIRS)
        slope = (at[-2] - 8 * at[-1] + 8 * at[1] - at[2]) / (12 * step)
        np.testing.assert_allclose(changes[..., flat_id], -slope, atol=5e-3, rtol=5e-3)


def test_swapping_toxic_and_benign_changes_the_sign(lm):
    swapped = likelihood_gradient(lm, PROMPTS, PAIRS.swapped())
    for there, back in zip(likelihood_gradient(lm, PROMPTS, PAIRS), swapped, strict=True):
        np.testing.assert_allclose(there, -back, atol=1e-4)


def test_prompts_do_not_touch_each_other(lm):
    """A prompt alone has the numbers that it has in a batch of others, long and short."""
    many = [*PROMPTS, "A", "When they walked into the small shop at the corner, people"]
    np.testing.assert_allclose(likelihood_of(lm, many, PAIRS)[:1], likelihood_of(lm, many[:1], PAIRS), atol=1e-3)


def test_each_prompt_may_read_stems_of_its_own(lm):
    whole = likelihood_of(lm, PROMPTS, PAIRS)
    some = likelihood_of(lm, PROMPTS, PAIRS, stems=np.array([[1], [0]]))
    np.testing.assert_allclose(some, [[whole[0, 1]], [whole[1, 0]]], atol=1e-3)


def test_a_prompt_beyond_the_context_is_cut_on_the_left(lm):
    long = "x" * 600
    assert np.isfinite(likelihood_of(lm, [long], PAIRS)).all()


def test_stopping_is_heard(lm):
    with pytest.raises(Cancelled):
        likelihood_gradient(lm, PROMPTS, PAIRS, stop=lambda: True)


# -- from log-odds to scores ----------------------------------------------------------------------------------------


def odds(values, group, gradient, knockout=None, shares=(0.5, 0.5)):
    values, gradient = np.array(values, float), np.array(gradient, float)
    exact = None if knockout is None else np.array(knockout, float)[:, None, :]
    group, groups = np.array(group), ("a", "b", "c")[: len(shares)]
    cell = pd.Series(group).groupby(group).cumcount().to_numpy()
    return OddsSamples(
        values[:, None], group, cell, np.zeros(len(group), int), np.zeros((len(group), 1), int), np.array(shares),
        groups, gradient[:, None, :], exact,
    )  # fmt: skip


def test_scores_by_hand():
    # Means −1 and −2 with shares ¾ and ¼: μ = −1.25, bias 0.25 + 0.75 = 1. Without the head −1.2 and −1.6: μ = −1.3,
    # bias 0.1 + 0.3 = 0.4, so z = 0.6: the head drives it.
    found = likelihood_effects(
        odds([-0.5, -1.5, -2, -2], [0, 0, 1, 1], [[-0.3], [-0.1], [0.4], [0.4]], shares=(0.75, 0.25)), replicates=10
    )
    assert found.bias == pytest.approx(1.0)
    assert found.z[0] == pytest.approx(0.6)
    assert not found.corrected[0]


def test_groups_alike_have_no_bias_and_no_head_drives_it(tiny_llama):
    """A model that treats two groups alike: the same prompts under two names."""
    log_odds, changes = likelihood_gradient(tiny_llama, PROMPTS * 2, PAIRS)
    stems, cell = np.tile([0, 1], (4, 1)), np.tile([0, 1], 2)
    found = likelihood_effects(
        OddsSamples(log_odds, np.repeat([0, 1], 2), cell, cell, stems, np.full(2, 0.5), ("a", "b"), changes)
    )
    assert found.bias == pytest.approx(0.0, abs=1e-4)
    np.testing.assert_allclose(found.z, 0.0, atol=1e-3)


def test_knockout_everywhere_replaces_the_gradient():
    rng = np.random.default_rng(0)
    n, group = 40, np.repeat([0, 1], 20)
    values, exact = rng.normal(size=n), rng.normal(0, 0.1, (n, 3))
    found = likelihood_effects(odds(values, group, rng.normal(0, 9, (n, 3)), exact), replicates=10)
    gap = values[group == 0].mean() - values[group == 1].mean()
    without = (values[:, None] + exact)[group == 0].mean(0) - (values[:, None] + exact)[group == 1].mean(0)
    assert found.corrected.all()
    np.testing.assert_allclose(found.z, abs(gap) - abs(without), atol=1e-9)  # two groups of share ½


def test_the_correction_removes_the_gradients_error_and_carries_its_own():
    """The gradient is twice too large; 20 of 200 prompts of each group have a knock-out."""
    rng = np.random.default_rng(1)
    n, group = 400, np.repeat([0, 1], 200)
    values = rng.normal(0, 0.3, n) + 2 * (group == 0)
    exact = rng.normal(-0.2, 0.05, (n, 1)) * (group == 0)[:, None]
    some = np.where((np.arange(n) % 200 < 20)[:, None], exact, np.nan)
    first_order = likelihood_effects(odds(values, group, 2 * exact))
    combined = likelihood_effects(odds(values, group, 2 * exact, some))
    assert first_order.z[0] == pytest.approx(0.4, abs=0.02)
    assert combined.z[0] == pytest.approx(0.2, abs=3 * combined.z_se[0])
    assert combined.correction_se[0] > 0


# -- pairs ----------------------------------------------------------------------------------------------------------


def test_the_built_in_pairs_are_checked_and_balanced(default_model):
    """Every stem has as many pairs, no toxic word comes twice, and words of a pair have about as many tokens."""
    pairs = load_pairs()
    frame = pairs.frame
    assert frame.groupby("stem").size().nunique() == 1
    assert not frame["toxic"].duplicated().any()
    assert not set(frame["toxic"]) & set(frame["benign"])
    assert sorted(pairs.block_stems(np.arange(pairs.n_blocks)).ravel()) == list(range(len(pairs.stems)))
    tokens = [[len(default_model.tokenizer(f" {w}")["input_ids"]) for w in frame[side]] for side in ("toxic", "benign")]
    assert np.abs(np.subtract(*tokens)).max() <= 1
    assert np.mean(tokens[0]) - np.mean(tokens[1]) < 0.25


@pytest.mark.parametrize(("rows", "says"), [
    ([("... so", "bad", " ")], "row 0: a stem or word is blank"),
    ([("... so", "bad", "good"), ("... so", "kind", "kindly")], "row 1: 'kind' and 'kindly' begin alike"),
    ([], "at least one row"),
])  # fmt: skip
def test_bad_pairs_are_named(rows, says):
    with pytest.raises(InputError, match=says):
        PairSet(pd.DataFrame(rows, columns=["stem", "toxic", "benign"]))
