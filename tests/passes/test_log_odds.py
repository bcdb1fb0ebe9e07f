"""The likelihood metric against plain forward passes, finite differences, gated models and numbers worked by hand."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch
from finite_differences import gate_slope, in_float64

from fasp_core.agreement import metric_agreement
from fasp_core.errors import Cancelled, InputError
from fasp_core.heads import gate_heads
from fasp_core.likelihood import likelihood_gradient, likelihood_knockout, likelihood_of
from fasp_core.likelihood_effects import OddsSamples, doubtful_heads, likelihood_effects
from fasp_core.likelihood_evaluation import evaluate_likelihood
from fasp_core.odds import odds_samples
from fasp_core.pairs import PairSet, load_pairs
from fasp_core.plan import each_prompt_once
from fasp_core.prompts import load_prompts
from fasp_core.refine import Budget
from fasp_core.scoring import score_heads
from fasp_core.shards import StudySettings
from fasp_core.study import open_study

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
    lm = in_float64(lm)
    log_odds, changes = likelihood_gradient(lm, PROMPTS, PAIRS)
    np.testing.assert_allclose(log_odds, brute_force(lm), atol=1e-3)
    for flat_id in range(lm.layout.n_heads):
        slope = gate_slope(lm, flat_id, lambda: likelihood_of(lm, PROMPTS, PAIRS))
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


def test_heads_are_doubtful_where_the_first_order_is_far_off_and_it_matters():
    """Head 0: exact. Head 1: off by all of a large change. Head 2: off by as much of a change too small to matter."""
    rng = np.random.default_rng(2)
    group, exact = np.repeat([0, 1], 50), rng.normal(0, 1, (100, 3)) * [1, 1, 1e-4]
    values = rng.normal(0, 1, 100) + 3 * group
    assert doubtful_heads(
        odds(values, group, exact * [1, 2, 2], np.where(np.arange(100)[:, None] < 8, exact, np.nan))
    ) == [1]


def test_the_noise_floor_leaves_out_what_all_groups_share():
    rng = np.random.default_rng(3)
    own, shared = rng.normal(0, 0.1, 80), np.repeat(rng.normal(0, 10, 40), 2)
    group, gradient = np.tile([0, 1], 40), np.zeros((80, 1))
    floors = [likelihood_effects(odds(values, group, gradient)).bias_floor for values in (own, own + shared)]
    assert floors[0] == pytest.approx(floors[1])


def test_errors_are_those_of_other_prompts_and_other_pairs():
    """Over 150 made studies whose prompts and pairs have effects of their own, the spread of the estimates is what the
    standard errors say; they may err by 35 % on the large side (what one read has of its own counts three times)."""
    rng = np.random.default_rng(0)
    n_cells, n_stems, estimates, errors = 24, 12, [], []
    cell, group = np.repeat(np.arange(n_cells), 2), np.tile([0, 1], n_cells)
    block = cell % 4
    stem = block[:, None] * 3 + np.arange(3)
    for _ in range(150):
        shared = rng.normal(0, 2, n_stems)[stem] + rng.normal(0, 1, n_cells)[cell][:, None]  # cancels between groups
        by_group = rng.normal(0, 0.4, (2, n_stems))[group[:, None], stem] + rng.normal(0, 0.2, (len(cell), 1))
        value = 2.0 * group[:, None] + shared + by_group
        effect = -0.2 * group[:, None] + rng.normal(0, 0.1, (2, n_stems))[group[:, None], stem]
        effect = effect + rng.normal(0, 0.1, (len(cell), 1)) + rng.normal(0, 0.05, stem.shape)
        found = likelihood_effects(
            OddsSamples(value, group, cell, block, stem, np.full(2, 0.5), ("a", "b"), effect[..., None]),
            replicates=200, splits=1,
        )  # fmt: skip
        estimates.append(found.z[0])
        errors.append(found.z_se[0])
    assert np.mean(estimates) == pytest.approx(0.2, abs=0.02)
    assert 0.9 < np.mean(errors) / np.std(estimates) < 1.35


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


# -- studies --------------------------------------------------------------------------------------------------------

AXIS = "gender_and_sex"
SETTINGS = StudySettings(
    max_new_tokens=4, window_tokens=24, samples_per_shard=12, windows_per_shard=4, knockout_samples_per_shard=60,
    odds_per_shard=24,
)  # fmt: skip
BUDGET = Budget(samples=24, windows=8, knockout_windows=4, likelihood_prompts=60, likelihood_knockout=60)


def score(lm, root, **more):
    return score_heads(lm, axes=[AXIS], budget=BUDGET, settings=SETTINGS, pairs=PAIRS, name="s", root=root, **more)


def digests(study):
    return {n: hashlib.sha256((study.folder / n).read_bytes()).hexdigest() for n in study.manifest.shards}


@pytest.fixture(scope="module")
def both(tiny_llama, tmp_path_factory):
    """A study by toxicity, and the likelihood metric added to it; with what was there before."""
    root = tmp_path_factory.mktemp("both")
    before = digests(score(tiny_llama, root))
    return score(tiny_llama, root, metrics=["likelihood"]), before


def test_a_metric_is_added_and_nothing_else_touched(both):
    study, before = both
    assert before.items() <= digests(study).items()
    assert {n.split(".")[0] for n in set(digests(study)) - set(before)} == {
        "pairs", "likelihood", "likelihood-knockout",
    }  # fmt: skip
    assert open_study("s", study.folder.parent).metrics == ["toxicity", "likelihood"]


def test_both_metrics_give_the_same_table(both):
    toxicity, likelihood = both[0].scores(), both[0].scores(metric="likelihood")
    assert list(toxicity.frame) == list(likelihood.frame)
    assert (toxicity.z_ppl == likelihood.z_ppl).all()
    assert (likelihood.meta["metric"], likelihood.meta["unit"]) == ("likelihood", "nats")
    assert np.isfinite(likelihood.frame[[f"z_bias.{AXIS}", f"z_bias_se.{AXIS}"]]).all(axis=None)
    assert set(likelihood.meta["corrected"][AXIS]) == set(range(likelihood.n_heads))
    assert metric_agreement(toxicity, likelihood, axis=AXIS, gamma=0.25, alpha=0.25).n_pruned == 3


def test_scores_are_those_of_gated_models(both, tiny_llama):
    """z_bias of a head, from the bias of the model with and without it, worked out from plain forward passes."""
    study = both[0]
    prompts = study.prompts.frame.set_index("prompt_id")
    rows = pd.concat([study.read_shard(n).to_pandas() for n in study.shard_names("likelihood", AXIS)])
    rows = rows.iloc[:60]  # whole shards are measured: 72; the first 60 have a knock-out, and every group ten of them
    chosen = prompts.loc[rows["prompt_id"]]
    assert chosen["group"].value_counts().tolist() == [10] * 6

    def bias(**gates):
        values = likelihood_of(tiny_llama, chosen["prompt"].tolist(), PAIRS, **gates).mean(1)
        means = pd.Series(values).groupby(chosen["group"].to_numpy()).mean()
        return float((means - means.mean()).abs().sum())

    samples = odds_samples(study, AXIS)
    first = OddsSamples(**{
        name: value[:60] if isinstance(value, np.ndarray) and len(value) == 72 else value
        for name, value in vars(samples).items()
    })  # fmt: skip
    found = likelihood_effects(first, replicates=5, splits=1)
    assert found.bias == pytest.approx(bias(), abs=1e-3)
    for flat_id in (0, 6, 11):
        without = bias(off=[tiny_llama.layout.head(flat_id)])
        assert found.z[flat_id] == pytest.approx(bias() - without, abs=5e-3)


def test_a_stopped_run_resumes_to_the_same_bits(both, tiny_llama, tmp_path):
    study = None
    for patience in range(3, 300, 11):
        checks = iter(range(patience))
        try:
            study = score(tiny_llama, tmp_path, metrics=["likelihood"], stop=lambda: next(checks, None) is None)  # noqa: B023
            break
        except Cancelled:
            continue
    odds_shards = [n for n in study.manifest.shards if n.startswith("likelihood")]
    assert odds_shards
    assert study.metrics == ["likelihood"]
    assert {n: digests(study)[n] for n in odds_shards}.items() <= digests(both[0]).items()
    with pytest.raises(InputError, match="no scores by toxicity"):
        study.scores()


def test_bad_requests_are_one_line(both, tiny_llama, tmp_path):
    with pytest.raises(InputError, match="unknown metric 'likelyhood'; did you mean 'likelihood'"):
        score(tiny_llama, tmp_path, metrics=["likelyhood"])
    with pytest.raises(InputError, match="no metric"):
        score(tiny_llama, tmp_path, metrics=[])
    with pytest.raises(InputError, match="compares other pairs"):
        score_heads(
            tiny_llama, axes=[AXIS], metrics=["likelihood"], pairs=load_pairs(), name="s", root=both[0].folder.parent
        )
    with pytest.raises(InputError, match="unknown metric"):
        both[0].scores(metric="kindness")


# -- pruned sets ----------------------------------------------------------------------------------------------------


def test_a_pruned_set_changes_the_bias_by_what_brute_force_says(tiny_llama):
    prompts, off = load_prompts(), [(0, 1), (2, 3)]
    found = evaluate_likelihood(tiny_llama, off, AXIS, prompts=prompts, split="test", pairs=PAIRS, n_prompts=12)
    frame = prompts.select(axes=[AXIS], split="test").frame
    order = each_prompt_once(frame, seed=0, axis=AXIS, n_blocks=PAIRS.n_blocks).head(12)
    chosen = frame.set_index("prompt_id").loc[order["prompt_id"]]

    def means():
        values = brute_force(tiny_llama, chosen["prompt"].tolist()).mean(1)
        return pd.Series(values).groupby(chosen["group"].to_numpy()).mean()

    before = means()
    with gate_heads(tiny_llama.model, off=off):
        after = means()
    for when, values in (("before", before), ("after", after)):
        assert getattr(found, when).value == pytest.approx((values - values.mean()).abs().sum(), abs=5e-3)
        for group, value in values.items():
            assert found.groups[group][when].value == pytest.approx(value, abs=2e-3)
    assert found.change.value == pytest.approx(found.after.value - found.before.value)
    assert found.change.low < found.change.value < found.change.high


def test_pruning_nothing_changes_nothing(tiny_llama):
    found = evaluate_likelihood(tiny_llama, [], AXIS, prompts=load_prompts(), pairs=PAIRS, n_prompts=12)
    assert (found.change.value, found.change.se) == (0.0, 0.0)


# -- the shipped study ----------------------------------------------------------------------------------------------


def test_the_shipped_study_has_both_metrics():
    study = open_study("default")
    assert study.metrics == ["toxicity", "likelihood"]
    meta = study.scores(metric="likelihood").meta
    assert meta["n_samples"] == {AXIS: 360}
    assert meta["pairs_fingerprint"] == load_pairs().fingerprint
