"""Selections from the published files against the published rule, written out plainly."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from helpers.made_scores import AXIS, flat, make_scores, ranked
from helpers.published_files import published_json, published_scores, published_values
from hypothesis import given, settings
from hypothesis import strategies as st

from fasp_core.selection.published import LAYOUTS
from fasp_core.selection.score_files import read_head_scores
from fasp_core.selection.select_heads import select_heads


def published_rule(ppl, bias, gamma: float, alpha: float) -> tuple[set[int], set[int], bool]:
    """The paper's rule on knocked-out values: (protected, pruned, whether both cuts fall between different values)."""
    n = len(ppl)
    n_protected, n_pruned = int(Decimal(str(gamma)) * n), int(Decimal(str(alpha)) * n)
    by_ppl = sorted(range(n), key=lambda i: -ppl[i])
    protected, rest = set(by_ppl[:n_protected]), by_ppl[n_protected:]
    by_bias = sorted(rest, key=lambda i: bias[i])
    clear = ppl[by_ppl[n_protected - 1]] != ppl[by_ppl[n_protected]]
    clear &= n_pruned == 0 or bias[by_bias[n_pruned - 1]] != bias[by_bias[n_pruned]]
    return protected, set(by_bias[:n_pruned]), clear


GRID = [(g / 100, a / 100) for g in range(20, 71, 5) for a in range(2, 21)]


@pytest.mark.parametrize("model", ["gpt2", "distilgpt2"])
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_published_files_give_the_published_selection(model, kind):
    scores = published_scores(model, kind)
    ppl, biases = published_values(model, kind)
    compared = 0
    for axis, bias in biases.items():
        for gamma, alpha in GRID:
            protected, pruned, clear = published_rule(ppl, bias, gamma, alpha)
            selection = select_heads(scores, axis=axis, gamma=gamma, alpha=alpha)
            assert len(selection.pruned) == len(pruned)
            if clear:
                compared += 1
                assert set(flat(selection.protected, 12)) == protected
                assert set(flat(selection.pruned, 12)) == pruned
    assert compared > 0.9 * len(biases) * len(GRID)


@pytest.mark.parametrize("model", ["gpt2", "distilgpt2"])
def test_published_baselines_give_the_published_selection(model):
    scores, entry = published_scores(model, "json"), published_json()[model]
    names = {
        "bias_only": f"cont_to_{AXIS}_bias",
        "ppl_only": "cont_to_ppl",
        "magnitude_l2": "magnitude_l2_structured",
        "mask_gradient_l2": "mask_gradient_l2_structured",
    }
    for method, name in names.items():
        values = np.array(entry[name])
        for percent in range(1, 21):
            pruned = select_heads(scores, method, axis=AXIS, alpha=percent / 100).pruned
            count = percent * values.size // 100
            if count and np.sort(values)[count - 1] != np.sort(values)[count]:
                assert set(flat(pruned, 12)) == set(np.flatnonzero(values <= np.sort(values)[count - 1]))
            assert len(pruned) == count


@settings(max_examples=200)
@given(st.lists(st.floats(30, 31).map(lambda x: round(x, 14)), min_size=4, max_size=12))
def test_differences_to_the_median_never_decide_ties(values):
    """Two different values whose z is rounded to the same number keep their order."""
    z = np.array(values) - np.median(values)
    scores = make_scores(z, z, ppl_without_head=np.array(values))
    count = len(values) // 2
    expected = sorted(range(len(values)), key=lambda i: (values[i], i))[:count]
    assert flat(select_heads(scores, "ppl_only", alpha=0.5).pruned) == sorted(expected)


@pytest.mark.parametrize(
    "model", ["gpt-j-6B", "EleutherAI/gpt-neo-1.3B", "facebook/opt-350m", "meta-llama/Llama-2-7b-chat-hf"]
)
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_other_files_of_the_published_kinds(tmp_path, model, kind):
    """Coarse perplexities, as published, make ties: exactly the asked number is taken, lowest flat id first."""
    layers, heads = LAYOUTS[model.split("/")[-1]]
    n, rng = layers * heads, np.random.default_rng(len(model))
    ppl, bias = rng.choice(np.linspace(9, 9.3, 16).round(3), n), 0.4 + rng.normal(0, 0.02, n).round(3)
    path = tmp_path / f"head_scores_{model.replace('/', '_')}.{kind}"
    if kind == "json":
        path.write_text(json.dumps({model: {"cont_to_ppl": ppl.tolist(), f"cont_to_{AXIS}_bias": bias.tolist()}}))
    else:
        pd.DataFrame(
            {
                "Group": AXIS,
                "Bias": np.tile(bias, 3),
                "Head id": np.tile(np.arange(1, n + 1), 3),
                "Seed": np.repeat([1, 2, 3], n),
                "Split": "valid",
                "PPL": np.tile(ppl, 3),
            }
        ).to_csv(path, index=False)
    scores = read_head_scores(path)
    for gamma in range(20, 71, 10):
        for alpha in range(2, 21, 2):
            protected = ranked(ppl, range(n))[: gamma * n // 100]
            rest = sorted(set(range(n)) - set(protected), key=lambda i: (bias[i], i))
            selection = select_heads(scores, axis=AXIS, gamma=gamma / 100, alpha=alpha / 100)
            assert flat(selection.protected, heads) == sorted(protected)
            assert flat(selection.pruned, heads) == sorted(rest[: alpha * n // 100])


@pytest.mark.parametrize("score", ["cont_to_ppl", f"cont_to_{AXIS}_bias"])
def test_one_unmeasured_head_among_384_is_kept_and_said_so(tmp_path, score):
    """As in the published file for opt-350m: the other 383 are ranked as if it were not there."""
    rng, lost = np.random.default_rng(0), 200
    entry = {name: rng.normal(9, 0.1, 384) for name in ("cont_to_ppl", f"cont_to_{AXIS}_bias")}
    ppl, bias = entry["cont_to_ppl"].copy(), entry[f"cont_to_{AXIS}_bias"].copy()
    entry[score][lost] = np.nan
    path = tmp_path / "head_contributions.json"
    path.write_text(json.dumps({"opt-350m": {name: values.tolist() for name, values in entry.items()}}))
    others = [i for i in range(384) if i != lost]
    protected = ranked(ppl, others if score == "cont_to_ppl" else range(384))[:115]
    rest = sorted(set(others) - set(protected), key=lambda i: (bias[i], i))
    selection = select_heads(read_head_scores(path), axis=AXIS, gamma=0.3, alpha=0.1)
    assert flat(selection.pruned, 16) == sorted(rest[:38])
    assert flat(selection.protected, 16) == sorted(protected)
    assert selection.unmeasured == (() if lost in protected else ((12, 8),))
    assert len(select_heads(read_head_scores(path), axis=AXIS, gamma=0, alpha=0.99).pruned) == 380
