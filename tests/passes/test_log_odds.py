"""The likelihood metric against plain forward passes, finite differences, gated models and numbers worked by hand."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from helpers.finite_differences import gate_slope, in_float64
from helpers.log_odds import PAIRS, PROMPTS, brute_force

from fasp_core.data.pairs import PairSet, load_pairs
from fasp_core.errors import Cancelled, InputError
from fasp_core.models.heads import gate_heads
from fasp_core.passes.log_odds import likelihood_gradient, likelihood_knockout, likelihood_of
from fasp_core.scoring.refine import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.selection.agreement import metric_agreement
from fasp_core.stats.log_odds import OddsSamples, likelihood_effects
from fasp_core.study.manifest import StudySettings
from fasp_core.study.study import open_study
from fasp_core.study.views import odds_samples, study_pairs


@pytest.fixture(params=["tiny_llama", "tiny_gpt2"])
def lm(request):
    return request.getfixturevalue(request.param)


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
    swapped = PairSet(PAIRS.frame.rename(columns={"toxic": "benign", "benign": "toxic"})[["stem", "toxic", "benign"]])
    both = (likelihood_gradient(lm, PROMPTS, pairs) for pairs in (PAIRS, swapped))
    for there, back in zip(*both, strict=True):
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


def test_groups_alike_have_no_bias_and_no_head_drives_it(tiny_llama):
    """A model that treats two groups alike: the same prompts under two names."""
    log_odds, changes = likelihood_gradient(tiny_llama, PROMPTS * 2, PAIRS)
    stems, cell = np.tile([0, 1], (4, 1)), np.tile([0, 1], 2)
    found = likelihood_effects(
        OddsSamples(log_odds, np.repeat([0, 1], 2), cell, cell, stems, np.full(2, 0.5), ("a", "b"), changes)
    )
    assert found.bias == pytest.approx(0.0, abs=1e-4)
    np.testing.assert_allclose(found.z, 0.0, atol=1e-3)


# -- studies --------------------------------------------------------------------------------------------------------

AXIS = "gender_and_sex"
SETTINGS = StudySettings(
    max_new_tokens=4,
    window_tokens=24,
    samples_per_shard=12,
    windows_per_shard=4,
    knockout_samples_per_shard=60,
    odds_per_shard=24,
)
BUDGET = Budget(samples=24, windows=8, knockout_windows=4, likelihood_reads=60, likelihood_knockout=60)


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
        "pairs",
        "likelihood",
        "likelihood-knockout",
    }
    assert open_study("s", study.folder.parent).metrics == ["toxicity", "likelihood"]


def test_both_metrics_give_the_same_table(both):
    toxicity, likelihood = both[0].scores(), both[0].scores(metric="likelihood")
    beside = [name for name in toxicity.frame if "_unbiased" in name or name.startswith("z_toxicity")]  # of texts only
    assert list(toxicity.frame.drop(columns=beside)) == list(likelihood.frame)
    assert (toxicity.z_ppl == likelihood.z_ppl).all()
    assert (likelihood.meta.metric, likelihood.meta.unit) == ("likelihood", "nats")
    assert np.isfinite(likelihood.frame[[f"z_bias.{AXIS}", f"z_bias_se.{AXIS}"]]).all(axis=None)
    assert set(likelihood.intact[AXIS].corrected_heads) == set(range(likelihood.n_heads))
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
    first = OddsSamples(
        **{
            name: value[:60] if isinstance(value, np.ndarray) and len(value) == 72 else value
            for name, value in vars(samples).items()
        }
    )
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


# -- the shipped study ----------------------------------------------------------------------------------------------


def test_the_shipped_study_has_both_metrics():
    study = open_study("default")
    assert study.metrics == ["toxicity", "likelihood"]
    scores = study.scores(metric="likelihood")
    assert all(known.n_samples >= 360 for known in scores.intact.values())  # every prompt, at least once
    assert AXIS in scores.intact
    assert scores.meta.pairs_fingerprint == study_pairs(study).fingerprint
