"""Correlations between axes: against pandas and scipy, intervals against synthetic heads, and the published finding."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.published_files import published_rows, published_scores
from scipy.stats import spearmanr

from fasp_core.errors import InputError
from fasp_core.selection.correlations import AxisCorrelations, axis_correlations
from fasp_core.selection.head_scores import HeadScores
from fasp_core.words.captions import describe_correlations

LAYERS, PER_LAYER = 12, 12
N = LAYERS * PER_LAYER


def make_scores(columns: dict[str, np.ndarray], *, se: float = np.nan, layers: int = LAYERS) -> HeadScores:
    n = len(next(iter(columns.values())))
    frame = {
        "layer": np.repeat(np.arange(layers), n // layers),
        "head": np.tile(np.arange(n // layers), layers),
        "z_ppl": np.arange(float(n)),
        "z_ppl_se": np.full(n, np.nan),
    }
    for axis, values in columns.items():
        frame |= {f"z_bias.{axis}": values, f"z_bias_se.{axis}": np.full(n, se)}
    return HeadScores(pd.DataFrame(frame), n_layers=layers, heads_per_layer=n // layers)


def pair(rho: float, rng: np.random.Generator, shape=(N,)) -> np.ndarray:
    """Two columns of normal numbers, correlated by rho: (…, 2)."""
    return rng.normal(size=(*shape, 2)) @ np.linalg.cholesky([[1, rho], [rho, 1]]).T


def test_worked_by_hand():
    # x − mean = −3/2, −1/2, 1/2, 3/2 and y − mean = −2, 0, −1, 3: r = (3 + 0 − ½ + 9/2) / √(5 · 14);
    # ranks 1 2 3 4 and 1 3 2 4: ρ = 1 − 6 · 2 / (4 · 15).
    scores = make_scores({"x": np.array([1.0, 2, 3, 4]), "y": np.array([1.0, 3, 2, 6])}, layers=1)
    assert axis_correlations(scores).r[0, 1] == pytest.approx(7 / np.sqrt(70))
    assert axis_correlations(scores, method="spearman").r[0, 1] == pytest.approx(0.8)


@pytest.mark.parametrize("model", ["gpt2", "distilgpt2"])
@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_published_correlations_equal_pandas(model, method):
    rows = published_rows(model)
    bias = rows.groupby(["Head id", "Group"])["Bias"].mean().unstack()
    ppl = rows.groupby("Head id")["PPL"].mean()
    protected = ppl.sort_values(ascending=False, kind="stable").index[: int(0.3 * len(ppl))]
    for heads, values in (("all", bias), ("unprotected", bias.drop(protected))):
        made = axis_correlations(published_scores(model, "csv"), method=method, heads=heads)
        assert made.n_heads == len(values)
        np.testing.assert_allclose(made.r, values[list(made.axes)].corr(method), rtol=0, atol=1e-12)
        assert (made.low <= made.r).all()
        assert (made.r <= made.high).all()


def test_published_gpt2_loses_its_correlation_without_the_critical_heads():
    scores = published_scores("gpt2", "csv")
    every, unprotected = (axis_correlations(scores, heads=heads) for heads in ("all", "unprotected"))
    a, b = every.axes.index("race_ethnicity"), every.axes.index("gender_and_sex")
    assert every.r[a, b] > 0.75
    assert unprotected.r[a, b] < 0.1
    words = describe_correlations(every, unprotected)
    assert "Correlation over all 144 heads: 0.79 (median of 10 pairs of axes)" in words
    assert "without the 43 protected heads: 0.05" in words
    assert "a few heads that the model cannot do without" in words


def test_a_missing_value_is_left_out_of_its_pairs_and_said():
    rng = np.random.default_rng(0)
    columns = {axis: rng.normal(size=N) for axis in "abc"}
    columns["b"][[3, 70]] = np.nan
    for method in ("pearson", "spearman"):
        made = axis_correlations(make_scores(columns), method=method)
        np.testing.assert_allclose(made.r, pd.DataFrame(columns).corr(method), rtol=0, atol=1e-12)
        assert made.notes == ("b: 2 of the 144 heads have no value and are left out of its pairs.",)
    good = np.isfinite(columns["b"])
    assert made.r[0, 1] == pytest.approx(spearmanr(columns["a"][good], columns["b"][good])[0], abs=1e-12)


def test_ties_are_those_of_the_values_that_were_read():
    """Two different knocked-out values may have the same z; Spearman ranks the former."""
    without = np.array([0.1, 0.1 + 2e-17, 0.3, 0.2, 0.5, 0.4])
    scores = make_scores({"a": 0.25 - without, "b": np.arange(6.0)}, layers=2)
    frame = scores.frame.assign(**{"bias_without_head.a": without})
    made = axis_correlations(HeadScores(frame, 2, 3), method="spearman")
    assert made.r[0, 1] == pytest.approx(spearmanr(-without, np.arange(6))[0], abs=1e-12)


def test_constant_identical_and_single_axes():
    rng = np.random.default_rng(0)
    a = rng.normal(size=N)
    made = axis_correlations(make_scores({"a": a, "b": 2 * a + 1, "c": np.zeros(N)}))
    assert made.r[0, 1] == made.low[0, 1] == made.high[0, 1] == pytest.approx(1)
    assert np.isnan(made.r[0, 2])
    assert "c: no correlation, all heads have the same value." in made.notes
    one = axis_correlations(make_scores({"a": a}))
    assert one.r.shape == (1, 1)
    assert "one axis only" in describe_correlations(one, one)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "kendal"}, "unknown method 'kendal'"),
        ({"heads": "some"}, "unknown heads 'some'"),
        ({"heads": "unprotected", "gamma": 2}, "must be a number from 0 to 1"),
    ],
)
def test_bad_input_is_one_line(options, words):
    with pytest.raises(InputError, match=words):
        axis_correlations(make_scores({"a": np.arange(6.0), "b": np.arange(6.0)}, layers=2), **options)


class TestAttenuation:
    def test_noise_is_taken_out(self):
        """True correlation 0.6, reliabilities 0.5: measured about 0.3, corrected about 0.6."""
        rng = np.random.default_rng(1)
        n = 64 * 64
        measured = pair(0.6, rng, (n,)) + rng.normal(size=(n, 2))
        scores = make_scores({"a": measured[:, 0], "b": measured[:, 1]}, se=1.0, layers=64)
        plain, corrected = axis_correlations(scores), axis_correlations(scores, disattenuate=True)
        assert plain.r[0, 1] == pytest.approx(0.3, abs=0.05)
        assert corrected.reliability["a"] == pytest.approx(0.5, abs=0.05)
        assert corrected.r[0, 1] == pytest.approx(0.6, abs=0.08)
        assert corrected.low[0, 1] < 0.6 < corrected.high[0, 1]
        assert (np.diag(corrected.r) == 1).all()
        assert corrected.disattenuated

    def test_reliability_agrees_with_that_between_the_published_seeds(self):
        """Two ways to the same thing: errors of the means, and correlations between seeds stepped up to three."""
        scores, rows = published_scores("distilgpt2", "csv"), published_rows("distilgpt2")
        made = axis_correlations(scores)
        for axis in ("gender_and_sex", "nationality", "race_ethnicity", "sexual_orientation"):
            seeds = rows[rows["Group"] == axis].pivot(index="Head id", columns="Seed", values="Bias").corr().to_numpy()
            r = seeds[np.triu_indices(3, 1)].mean()
            assert made.reliability[axis] == pytest.approx(3 * r / (1 + 2 * r), abs=0.05)

    def test_what_cannot_be_corrected_is_nan_and_said(self):
        rng = np.random.default_rng(2)
        columns = {axis: rng.normal(size=N) for axis in "ab"}
        noise = axis_correlations(make_scores(columns, se=3.0), disattenuate=True)
        assert np.isnan(noise.r[0, 1])
        assert noise.r[0, 0] == 1
        assert any(note.startswith("A: too noisy to correct (reliability ") for note in noise.notes)
        unknown = axis_correlations(make_scores(columns), disattenuate=True)
        assert np.isnan(unknown.low[0, 1])
        assert any("errors not known" in note for note in unknown.notes)

    def test_more_than_one_cannot_be_and_is_left_out(self):
        a = np.random.default_rng(3).normal(size=N)
        made = axis_correlations(make_scores({"a": a, "b": a + 0.1 * np.sin(9 * a)}, se=0.7), disattenuate=True)
        assert np.isnan(made.r[0, 1])
        assert made.r[0, 0] == 1
        assert "a and b: more than 1 when corrected, so not usable and left out." in made.notes


@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize("world", ["normal", "layers", "heavy tails"])
def test_intervals_cover_the_truth(method, world):
    """95 % intervals over 200 synthetic models of 12 × 12 heads hold the true correlation in at least 90 % of them."""
    rng = np.random.default_rng(4)

    def heads(models: int) -> np.ndarray:
        values = pair(0.6, rng, (models, LAYERS, PER_LAYER))
        if world == "layers":
            values = np.sqrt(0.7) * values + np.sqrt(0.3) * pair(0.6, rng, (models, LAYERS, 1))
        if world == "heavy tails":
            values = values / np.sqrt(rng.chisquare(3, (models, LAYERS, PER_LAYER, 1)) / 3)
        return values.reshape(models, N, 2)

    truth = pd.DataFrame(heads(2000).reshape(-1, 2)).corr(method).to_numpy()[0, 1]
    made = [axis_correlations(make_scores({"a": m[:, 0], "b": m[:, 1]}), method=method) for m in heads(200)]
    covered = np.mean([c.low[0, 1] <= truth <= c.high[0, 1] for c in made])
    assert 0.9 <= covered <= 0.99


class TestWords:
    def correlations(self, r: float, n_heads: int) -> AxisCorrelations:
        matrix = np.array([[1, r], [r, 1.0]])
        return AxisCorrelations(("religion", "age"), matrix, matrix - 0.1, matrix + 0.1, n_heads)

    @pytest.mark.parametrize(
        ("before", "after", "words"),
        [
            (0.8, 0.1, "a few heads that the model cannot do without"),
            (0.1, 0.7, "the protected heads hide"),
            (0.6, 0.55, "not what makes the biases go together"),
            (0.15, 0.12, "noise may hide it"),
        ],
    )
    def test_the_change_is_said(self, before, after, words):
        said = describe_correlations(self.correlations(before, 100), self.correlations(after, 70))
        assert words in said
        assert f"{before:.2f} (the pair of axes); without the 30 protected heads: {after:.2f}" in said
        assert f"Religion with age: {before:.2f} (95\u00a0% interval {before - 0.1:.2f} to {before + 0.1:.2f})" in said

    def test_what_cannot_be_told(self):
        both = self.correlations(0.5, 100), self.correlations(np.nan, 70)
        assert "cannot be told" in describe_correlations(*both)
        assert "No head is protected" in describe_correlations(both[0], both[0])
