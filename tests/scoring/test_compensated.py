"""Scores under compensation against models that were really refitted, finite differences, and planted copies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.finite_differences import gate_slope, in_float64
from helpers.log_odds import PAIRS
from helpers.supplied_head import with_a_supplied_head

from fasp_core.data.calibration import calibration_text, calibration_windows
from fasp_core.errors import InputError
from fasp_core.models.compensation import compensated_heads, fit_compensation
from fasp_core.models.residual_gates import fit_residuals
from fasp_core.passes.log_odds import likelihood_of
from fasp_core.scoring import context
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.stats.bias import axis_bias
from fasp_core.study.manifest import StudySettings
from fasp_core.study.scores import choosing_scores
from fasp_core.study.study import open_study
from fasp_core.study.views import odds_samples, window_samples

AXIS = "gender_and_sex"
SETTINGS = StudySettings(
    max_new_tokens=3, window_tokens=24, windows_per_shard=4, knockout_samples_per_shard=24, odds_per_shard=24
)
BUDGET = Budget(samples=0, windows=8, knockout_windows=8, likelihood_reads=48, likelihood_knockout=24)


@pytest.fixture(scope="module", autouse=True)
def short_calibration():
    """The first windows of the calibration text, for the refits of the tests and of the program alike."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "calibration_windows", windows)
        yield


def windows(tokenizer, longest=None):
    return calibration_windows(tokenizer, longest)[:12]


def score(lm, root, *, budget=BUDGET, compensated=True, **more):
    return score_heads(
        lm,
        axes=[AXIS],
        metrics=["likelihood"],
        budget=budget,
        settings=SETTINGS,
        pairs=PAIRS,
        name="s",
        root=root,
        compensated=compensated,
        **more,
    )


@pytest.fixture(scope="module")
def lm():
    return in_float64(tiny.make_language_model(tiny.GPT2))


@pytest.fixture(scope="module")
def study(lm, tmp_path_factory):
    return score(lm, tmp_path_factory.mktemp("compensated"))


def refitted(lm, flat):
    head = lm.layout.head(flat)
    return compensated_heads(lm.model, fit_compensation(lm, [head], windows(lm.tokenizer)))


def perplexity(lm, texts):
    """By plain forward passes, one window at a time."""
    nll = n = 0
    with torch.no_grad():
        for ids in texts:
            log_probs = lm.model(torch.tensor([ids])).logits[0].log_softmax(-1)
            nll -= sum(float(log_probs[t - 1, ids[t]]) for t in range(1, len(ids)))
            n += len(ids) - 1
    return math.exp(nll / n)


def test_a_head_that_is_knocked_out_scores_as_the_model_refitted_without_it(lm, study):
    """z_ppl, and the change of every log-odds: the exact tier on all windows, and on the first 24 readings."""
    texts = context.RunContext.of(study, lm, None).windows[:8]
    scores, odds = study.scores(metric="likelihood", compensate="least_squares"), odds_samples(study, AXIS)
    exact, plain = odds_samples(study, AXIS, compensated=True).knockout, odds.knockout
    prompts = study.prompts.frame.set_index("prompt_id")["prompt"]
    names = study.shard_names("residual-likelihood", AXIS)
    ids = np.concatenate([study.read_shard(name)["prompt_id"].to_numpy() for name in names])[:4]
    intact = perplexity(lm, texts)
    for flat in (0, 5, 11):
        with refitted(lm, flat):
            assert scores.z_ppl[flat] == pytest.approx(perplexity(lm, texts) - intact, rel=1e-4)
            without = likelihood_of(lm, prompts.loc[ids].tolist(), PAIRS, stems=odds.stem[:4])
        # changes are kept in 16 bits: 1 in 2,000
        np.testing.assert_allclose(exact[:4, :, flat], without - odds.log_odds[:4], rtol=5e-4, atol=1e-4)
        assert np.abs(exact[:4, :, flat] - plain[:4, :, flat]).max() > 0.02  # a hole does something else


def test_first_order_scores_are_slopes_by_what_others_cannot_supply(lm, tmp_path):
    few = Budget(samples=0, windows=4, knockout_windows=0, likelihood_reads=24)
    study = score(lm, tmp_path, budget=few)
    residuals, odds = fit_residuals(lm, windows(lm.tokenizer)), odds_samples(study, AXIS, compensated=True)
    prompts = study.prompts.frame.set_index("prompt_id")["prompt"]
    ids = study.read_shard("residual-likelihood.gender_and_sex.00000.parquet")["prompt_id"].to_numpy()[:3]
    for flat in (1, 6, 10):
        slope = gate_slope(
            lm, flat, lambda: likelihood_of(lm, prompts.loc[ids].tolist(), PAIRS, stems=odds.stem[:3]), residuals.hook
        )
        np.testing.assert_allclose(odds.gradient[:3, :, flat], -slope, atol=5e-3, rtol=1e-2)


def test_z_bias_is_that_of_the_changed_log_odds(study):
    """By hand from the stored changes: means of groups with and without head 3, weighed by π."""
    odds = odds_samples(study, AXIS, compensated=True)
    scores = study.scores(metric="likelihood", compensate="least_squares")
    changed = odds.gradient[..., 3].astype(float)
    means, without = (
        np.array([value[odds.group == g].mean() for g in range(len(odds.groups))])
        for value in (odds.log_odds, odds.log_odds + changed)
    )
    first_order = axis_bias(means, odds.shares) - axis_bias(without, odds.shares)
    assert 3 not in scores.intact[AXIS].corrected_heads
    assert scores.z_bias(AXIS)[3] == pytest.approx(first_order, abs=1e-6)
    assert scores.base_bias(AXIS).value == pytest.approx(axis_bias(means, odds.shares))


def test_a_head_that_the_others_supply_scores_zero(tmp_path, monkeypatch):
    """Planted in layer 0: head 1 writes what heads 0 and 2 write together, so each of the three can be supplied."""
    monkeypatch.setattr(context, "RIDGE", 1e-9)
    lm = with_a_supplied_head()
    few = Budget(samples=0, windows=4, knockout_windows=0, likelihood_reads=24)
    study = score(in_float64(lm), tmp_path, budget=few)
    scores, plain = (study.scores(metric="likelihood", compensate=how) for how in ("least_squares", "none"))
    for without, whole in ((scores.z_ppl, plain.z_ppl), (scores.z_bias(AXIS), plain.z_bias(AXIS))):
        assert np.abs(without[:3]).max() < 1e-3 * np.abs(whole[:3]).max()
        assert np.abs(without[3:]).min() > 1e-3 * np.abs(whole[3:]).max()


def test_they_stand_beside_the_plain_scores_and_say_what_made_them(lm, study):
    plain, under = study.scores(metric="likelihood"), study.scores(metric="likelihood", compensate="least_squares")
    assert plain.meta.compensate is None
    assert under.meta.compensate == under.record()["compensate"] == "least_squares"
    assert under.meta.calibration.to_json() == {"fingerprint": calibration_text().fingerprint, "ridge": "0.01"}
    assert not np.allclose(plain.z_ppl, under.z_ppl)
    np.testing.assert_array_equal(plain.column("mask_gradient_l2"), under.column("mask_gradient_l2"))
    assert plain.base_ppl.value == pytest.approx(under.base_ppl.value, rel=1e-6)
    assert plain.verdict(AXIS) == under.verdict(AXIS)


def test_those_under_compensation_choose_heads_where_least_squares_takes_their_place(study):
    for how, under in (("none", None), ("mean", None), ("least_squares", "least_squares")):
        assert choosing_scores(study, AXIS, compensate=how, metric="likelihood").meta.compensate == under


def test_they_resume_and_a_study_without_them_says_how_to_get_them(lm, tmp_path, monkeypatch):
    study = score(lm, tmp_path, compensated=False)
    with pytest.raises(InputError, match="score MODEL --name s --axes AXIS --metric likelihood --compensated"):
        study.scores(metric="likelihood", compensate="least_squares")
    with pytest.raises(InputError, match="no scores are compensated by 'mean'"):
        study.scores(metric="likelihood", compensate="mean")
    assert choosing_scores(study, AXIS, compensate="least_squares", metric="likelihood").meta.compensate is None
    before, seen = set(study.manifest.shards), []
    score(lm, tmp_path, progress=lambda at: seen.append(at.stage))
    new = set(open_study("s", tmp_path).manifest.shards) - before
    assert {name.split(".")[0] for name in new} == {
        "residual-gradient",
        "residual-knockout",
        "residual-likelihood",
        "residual-likelihood-knockout",
    }
    assert "fitting what heads can supply of each other" in seen
    monkeypatch.setattr(context, "fit_residuals", None)  # all is there: nothing is fitted again
    score(lm, tmp_path)
    monkeypatch.setattr(context, "RIDGE", 0.5)
    with pytest.raises(InputError, match="by another fit"):
        score(lm, tmp_path)


def test_by_toxicity_alone_there_are_none(lm, tmp_path):
    with pytest.raises(InputError, match="are by likelihood"):
        score_heads(lm, axes=[AXIS], metrics=["toxicity"], name="t", root=tmp_path, compensated=True)


def test_windows_are_the_same(study):
    plain, under = window_samples(study), window_samples(study, compensated=True)
    np.testing.assert_array_equal(plain.n_tokens, under.n_tokens)
    np.testing.assert_allclose(plain.log_prob, under.log_prob, rtol=1e-6)
