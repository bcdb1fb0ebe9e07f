"""Stages of fasp_iterative by likelihood, compensated and within a budget, against studies of the pruned model.

By toxicity: tests/scoring/test_iterative.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.finite_differences import in_float64
from helpers.log_odds import PAIRS

from fasp_core.data.calibration import calibration_windows
from fasp_core.errors import Cancelled, InputError
from fasp_core.models.batching import pad_batch
from fasp_core.models.compensation import compensated_heads, fit_compensation
from fasp_core.models.heads import gate_heads
from fasp_core.passes.knockout import base_log_probs, knockout_log_ratios
from fasp_core.scoring import context, stage_scores
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.context import RunContext
from fasp_core.scoring.iterative import iterative_order
from fasp_core.scoring.iterative_settings import IterativeSettings
from fasp_core.scoring.score_heads import score_heads
from fasp_core.scoring.stage_scores import LikelihoodScorer, PrunedModels, StagePerplexity, StageScores
from fasp_core.stats.log_odds import likelihood_effects
from fasp_core.study.manifest import StudySettings
from fasp_core.study.orders import OrderKey, OrderStage, affordable, heads_within, stored_order
from fasp_core.study.scores import choosing_scores
from fasp_core.study.study import open_study
from fasp_core.study.views import odds_samples

AXIS = "gender_and_sex"
SETTINGS = StudySettings(max_new_tokens=3, window_tokens=24, windows_per_shard=4, odds_per_shard=24)
STAGES = IterativeSettings(readings=48, step=0.17)  # 2 of 12 heads a stage
BY_LIKELIHOOD = {"axis": AXIS, "gamma": 0.25, "metric": "likelihood", "settings": STAGES}
PRUNED = [1, 3]  # heads 1 and 3 of layer 0


def windows(tokenizer, longest=None):
    return calibration_windows(tokenizer, longest)[:12]


@pytest.fixture(scope="module", autouse=True)
def short_calibration():
    with pytest.MonkeyPatch.context() as patch:
        for module in (context, stage_scores):
            patch.setattr(module, "calibration_windows", windows)
        yield


@pytest.fixture(scope="module")
def lm():
    return in_float64(tiny.make_language_model(tiny.GPT2))


def score(lm, root, name="s", **more):
    budget = Budget(samples=0, windows=8, knockout_windows=0, likelihood_reads=48)
    common = {"metrics": ["likelihood"], "budget": budget, "settings": SETTINGS, "pairs": PAIRS}
    return score_heads(lm, axes=[AXIS], name=name, root=root, **common, **more)


@pytest.fixture
def study(lm, tmp_path):
    return score(lm, tmp_path)


def stages_of(study, lm, compensate="none", n=48):
    models = PrunedModels(RunContext.of(study, lm, None), compensate)
    scores = choosing_scores(study, AXIS, compensate=compensate, metric="likelihood")
    return models, LikelihoodScorer(
        models, study, AXIS, StageScores(scores.z_bias(AXIS), scores.group_effects[AXIS]), n
    )


def test_a_stage_scores_as_a_study_of_the_pruned_model(tmp_path):
    lm = tiny.make_language_model(tiny.GPT2)
    study = score(lm, tmp_path)
    with gate_heads(lm.model, off=[(0, 1), (0, 3)]):
        pruned = score(lm, tmp_path, "pruned")
    expected = likelihood_effects(odds_samples(pruned, AXIS))
    _, scorer = stages_of(study, lm)
    for found in (scorer.scored(PRUNED), scorer(PRUNED)):  # with all readings there is nothing to control for
        np.testing.assert_allclose(found.z, expected.z, atol=1e-6)
        np.testing.assert_allclose(found.groups.gaps, expected.gaps, atol=1e-6)
        np.testing.assert_allclose(found.groups.effects, expected.gap_moves, atol=1e-6)


@pytest.mark.parametrize("head", [9, 11])
def test_fewer_readings_come_closer_with_the_intact_model_s(lm, study, head):
    """Gaps and effects of half the readings, with and without the control variate, against those of all.

    Heads of the last layer, without which the model is much as it was.
    """
    (_, whole), (_, half) = stages_of(study, lm), stages_of(study, lm, n=24)
    truth, plain, controlled = whole.scored([head]), half.scored([head]), half([head])
    for part in ("gaps", "effects"):
        errors = [np.abs(getattr(s.groups, part) - getattr(truth.groups, part)).mean() for s in (plain, controlled)]
        assert errors[1] < 0.7 * errors[0]


def test_perplexity_is_that_of_plain_forward_passes(lm, study):
    models, _ = stages_of(study, lm)
    rise = StagePerplexity(models, study)(PRUNED)

    def perplexity():
        nll = n = 0
        with torch.no_grad():
            for ids in models.context.windows[:8]:
                log_probs = lm.model(torch.tensor([ids])).logits[0].log_softmax(-1)
                nll, n = nll - sum(float(log_probs[t - 1, ids[t]]) for t in range(1, len(ids))), n + len(ids) - 1
        return math.exp(nll / n)

    intact = perplexity()
    with gate_heads(lm.model, off=[(0, 1), (0, 3)]):
        assert rise.value == pytest.approx(perplexity() / intact - 1, abs=1e-6)
    assert rise.n == 8
    assert 0 < rise.se < 1


def test_under_compensation_the_model_is_refitted_and_residuals_are_of_what_stays(lm, study):
    """A further head at residual gate 0 is nearly the refit without all three: nearly, for either refit is shrunk."""
    models = PrunedModels(RunContext.of(study, lm, None), "least_squares")
    generator = torch.Generator().manual_seed(1)
    sequences = [torch.randint(3, 250, (n,), generator=generator).tolist() for n in (12, 9, 15)]
    batch = pad_batch(sequences, (5, 4, 6), pad_id=lm.tokenizer.pad_token_id, device=lm.device)

    def refitted(heads):
        with compensated_heads(lm.model, fit_compensation(lm, heads, windows(lm.tokenizer))):
            return base_log_probs(lm, batch)

    two, three = refitted([(0, 1), (0, 3)]), refitted([(0, 1), (0, 2), (0, 3)])
    with models.without(PRUNED) as inside:
        torch.testing.assert_close(base_log_probs(lm, batch), two, atol=1e-6, rtol=0)
        hook = inside.residuals.hook
        further, _ = knockout_log_ratios(lm, batch, [2], hook_of=hook)
        gone, _ = knockout_log_ratios(lm, batch, PRUNED, hook_of=hook)
    change = (three - two).abs().mean()
    assert (further[:, 0].double() - (three - two)).abs().mean() < 0.05 * change
    assert gone.abs().max() < 1e-6  # nothing is left of these


def test_a_budget_ends_the_run_and_the_rest_is_nested(lm, study, tmp_path):
    """Within each budget the longest part that keeps it, as measured; the order of a larger one goes on from there."""
    seen = []
    whole = iterative_order(lm, score(lm, tmp_path, "whole"), None, **BY_LIKELIHOOD, alpha=0.7)
    key = OrderKey(AXIS, "0.25", "likelihood")
    stages = stored_order(open_study("whole", tmp_path), key).stages
    assert [head for stage in stages for head in stage.heads] == whole
    for stage in stages:
        assert stage.ppl_rise_se > 0
    limit = stages[0].ppl_rise + 1e-6
    found = iterative_order(lm, study, None, **BY_LIKELIHOOD, budget_ppl=limit, progress=seen.append)
    assert found == [head for stage in affordable(stages, limit) for head in stage.heads]
    assert tuple(found) == heads_within(open_study("s", tmp_path), key, limit)
    kept = stored_order(open_study("s", tmp_path), key).stages
    assert len(affordable(kept, limit)) in (len(kept) - 1, 6)  # it ends with the first stage that does not keep it
    assert kept == stages[: len(kept)]
    assert seen[-1].done == seen[-1].total == 100
    assert any("heads pruned, perplexity" in at.message for at in seen)
    more = iterative_order(lm, study, None, **BY_LIKELIHOOD, alpha=0.7)
    assert more == whole


def test_what_a_budget_affords():
    def stage(head, rise, *expected):
        return OrderStage((head,), (0.0,), rise, 0.0, expected or None)

    falls = [stage(1, 0.01, 3.0, 2.0), stage(2, 0.02, 2.0, 1.5), stage(3, 0.06, 1.5, 1.0), stage(4, 0.04, 1.0, 0.5)]
    assert affordable(falls, 0.05) == tuple(falls[:2])  # not the fourth, which lies behind one beyond the budget
    assert affordable(falls, 1.0) == tuple(falls)
    assert affordable([falls[0], stage(2, 0.02, 2.0, 2.0), falls[2]], 1.0) == (falls[0],)  # no less bias expected
    assert affordable([stage(1, None)], 1.0) == ()


def test_it_resumes_after_a_stop_and_needs_the_scores_it_begins_with(lm, study, tmp_path):
    whole = iterative_order(lm, score(lm, tmp_path, "whole"), None, **BY_LIKELIHOOD, alpha=0.5)
    stopping = iter([False] * 3 + [True] * 1000)
    with pytest.raises(Cancelled):
        iterative_order(lm, study, None, **BY_LIKELIHOOD, alpha=0.5, stop=lambda: next(stopping))
    assert len(open_study("s", tmp_path).shard_names("likelihood-order", AXIS)) < 3
    assert iterative_order(lm, open_study("s", tmp_path), None, **BY_LIKELIHOOD, alpha=0.5) == whole
    with pytest.raises(InputError, match="add them: python -m fasp_core score"):
        iterative_order(lm, study, None, **BY_LIKELIHOOD, alpha=0.5, compensate="least_squares")


def test_orders_with_and_without_compensation_are_kept_apart(lm, study, tmp_path):
    plain = iterative_order(lm, study, None, **BY_LIKELIHOOD, alpha=0.33)
    study = score(lm, tmp_path, compensated=True)
    for how in ("least_squares", "mean"):
        found = iterative_order(lm, study, None, **BY_LIKELIHOOD, alpha=0.33, compensate=how)
        scores = choosing_scores(study, AXIS, compensate=how, metric="likelihood")
        assert scores.orders == {AXIS: {"0.25": tuple(found)}}
    assert study.scores(metric="likelihood").orders == {AXIS: {"0.25": tuple(plain)}}
    rises = {
        how: stored_order(study, OrderKey(AXIS, "0.25", "likelihood", how)).stages[0]
        for how in ("none", "least_squares", "mean")
    }
    assert len({stage.ppl_rise for stage in rises.values()}) == 3
