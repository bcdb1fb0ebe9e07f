"""Samples to scores: worked by hand, and what is known of the intact model beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.made_study import make_study

from fasp_core.errors import InputError
from fasp_core.stats.axis_sums import AxisSums
from fasp_core.stats.bias import head_effects
from fasp_core.stats.perplexity import WindowSamples, perplexity_effects
from fasp_core.study.scores import head_scores, mask_gradients
from fasp_core.study.shard_names import MAGNITUDE, shard_name
from fasp_core.study.shard_tables import ratio_table
from fasp_core.study.views import axis_samples, window_samples

AXIS = "gender_and_sex"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("scores"), n_layers=2, heads_per_layer=3, samples=64, windows=8)


def test_perplexity_of_a_head_that_was_knocked_out_everywhere_is_exact(tmp_path):
    """z_ppl = exp(−Σ(log p + r) / Σ tokens) − exp(−Σ log p / Σ tokens), the first-order value notwithstanding."""
    study = make_study(tmp_path, n_layers=2, heads_per_layer=3, windows=8)
    ratios, windows = np.linspace(-20, -6, 8), window_samples(study)
    for unit in range(8):
        table = ratio_table([unit], [127], windows.log_prob[[unit]], ratios[[unit], None], [4])
        study.write_shard(shard_name("knockout", "text", unit, heads=[4]), table)
    scores, tokens = study.scores(), 8 * 127
    base = math.exp(-windows.log_prob.sum() / tokens)
    without = math.exp(-(windows.log_prob.sum() + ratios.sum()) / tokens)
    assert scores.base_ppl.value == pytest.approx(base)
    assert scores.z_ppl[4] == pytest.approx(without - base, rel=1e-5)


def test_the_table_is_that_of_the_estimators(study):
    scores, ppl = study.scores(), perplexity_effects(window_samples(study))
    assert (scores.n_layers, scores.heads_per_layer, scores.axes) == (2, 3, [AXIS, "religion"])
    np.testing.assert_array_equal(scores.z_ppl, ppl.z)
    protected = np.zeros(6, bool)
    protected[np.argmax(ppl.z)] = True  # ⌊0.3 × 6⌋ = 1
    effects, known = head_effects(AxisSums.of(axis_samples(study, AXIS)), protected=protected), scores.intact[AXIS]
    np.testing.assert_array_equal(scores.z_bias(AXIS), effects.z)
    assert (known.bias.value, known.bias.se, known.bias.n) == (effects.bias, effects.bias_se, 64)
    assert (known.floor, known.corrected.value) == (effects.bias_floor, effects.bias_corrected)
    assert known.reliability == (effects.reliability if math.isfinite(effects.reliability) else None)
    assert known.effective_share == pytest.approx(effects.effective_share, abs=1e-4)
    assert known.corrected_heads == ()


def test_the_effects_on_groups_are_those_of_the_samples(study):
    """Gaps, and by first order what a head's removal adds to them: differences of means and covariances, by hand."""
    samples, known = axis_samples(study, AXIS), study.scores().group_effects[AXIS]
    groups = [samples.group == g for g in range(len(samples.groups))]
    means = np.array([samples.toxicity[rows].mean() for rows in groups])
    np.testing.assert_allclose(known.gaps, samples.shares @ means - means)
    moves = np.array(
        [[np.cov(samples.toxicity[rows], r[rows], bias=True)[0, 1] for rows in groups] for r in samples.gradient.T]
    )
    np.testing.assert_allclose(known.effects, (moves @ samples.shares)[:, None] - moves, atol=1e-8)
    assert known.groups == samples.groups
    assert known.effects.shape == known.effects_se.shape == (6, len(samples.groups))
    assert known.measured.all()


def test_it_says_where_the_scores_come_from(study):
    meta, made = study.scores().meta, study.manifest
    assert (meta.source, meta.study, meta.metric, meta.scorer) == ("study", "default", "toxicity", "embedded")
    assert meta.model.to_json() == made.model
    assert meta.settings.seed == 0
    assert meta.prompts.fingerprint == made.prompts["fingerprint"]
    assert meta.notes == []


def test_mask_gradients_by_hand():
    """Two windows of 2 and 4 tokens, two layers of two heads: mean |g / tokens|, each layer's of L2 norm 1."""
    gradient = np.array([[6.0, -8, 0, 0], [12.0, 16, 0, -4]])  # per token: [3, −4, 0, 0] and [3, 4, 0, −1]
    windows = WindowSamples(log_prob=np.zeros(2), n_tokens=np.array([2, 4]), gradient=gradient)
    assert mask_gradients(windows, 2) == pytest.approx([0.6, 0.8, 0, 1])


def test_a_head_without_a_number_is_told(tmp_path):
    study = make_study(tmp_path, n_layers=2, heads_per_layer=3, samples=64, windows=8)
    table = ratio_table([0], [127], np.zeros(1), np.array([[np.nan]]), [4])
    study.write_shard(shard_name("knockout", "text", 0, heads=[4]), table)
    notes = study.scores().meta.notes
    assert [note.split(";")[0] for note in notes] == [
        f"{axis}: knocking out head (1, 1) gives no number" for axis in study.axes
    ]


def test_magnitudes_are_a_column(tmp_path):
    import pyarrow as pa

    study = make_study(tmp_path, n_layers=2, heads_per_layer=3)
    assert "magnitude_l2" not in study.scores().frame
    study.write_shard(MAGNITUDE, pa.table({"magnitude_l2": np.arange(6.0)}))
    assert study.scores().column("magnitude_l2").tolist() == [0, 1, 2, 3, 4, 5]


def test_what_is_not_measured_is_one_line(study):
    with pytest.raises(InputError, match="unknown metric 'odds'"):
        head_scores(study, metric="odds")
    with pytest.raises(InputError, match="holds no scores by likelihood yet"):
        head_scores(study, metric="likelihood")
    with pytest.raises(InputError, match="no scores of 'vader'"):
        head_scores(study, scorer="vader")
