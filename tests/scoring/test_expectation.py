"""What further measuring is expected to bring: the prophecy by hand and by simulation, and what is said of it.

Covers `prophecy`, `expectations`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.made_study import make_study
from helpers.scored_both_ways import BY_BOTH, BY_LIKELIHOOD, score_both_ways

from fasp_core.errors import RunError
from fasp_core.scoring import refine
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.cost import ModelShape, unit_seconds
from fasp_core.scoring.expectation import Expectation, expectations, expected_sentences
from fasp_core.scoring.score_heads import score_heads
from fasp_core.stats.prophecy import expected_reliability, times_needed
from fasp_core.words.expectations import expected_after, expected_time


def test_the_prophecy_by_hand():
    assert expected_reliability(0.5, 2) == pytest.approx(2 / 3)
    assert expected_reliability(0.5, 0.5) == pytest.approx(1 / 3)
    assert times_needed(0.5, 0.8) == pytest.approx(4)
    assert times_needed(0.9, 0.8) == 1
    assert expected_reliability(-0.1, 9) == -0.1
    assert times_needed(0.0, 0.5) == math.inf
    for aim in (0.2, 0.5, 0.9):
        assert expected_reliability(0.1, times_needed(0.1, aim)) == pytest.approx(aim)


def test_the_prophecy_holds_for_measurements_with_independent_noise():
    """True scores of variance 1 and noise of variance 4 / n: two measurements correlate at 1 / (1 + 4 / n)."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20_000)

    def correlation(n: int) -> float:
        one, other = (truth + rng.normal(0, 2 / math.sqrt(n), truth.size) for _ in range(2))
        return float(np.corrcoef(one, other)[0, 1])

    assert expected_reliability(correlation(4), 3) == pytest.approx(correlation(12), abs=0.02)


def test_texts_have_no_end_and_readings_have():
    texts = Expectation("religion", "toxicity", 0.5, 100, math.inf, seconds=2.0)
    assert texts.after(200) == pytest.approx(2 / 3)
    assert texts.seconds_to(0.8) == pytest.approx(600)
    assert texts.highest == 1
    readings = Expectation("religion", "likelihood", 0.5, 100, 200, seconds=2.0)
    assert readings.after(10_000) == readings.highest == pytest.approx(2 / 3)
    assert readings.seconds_to(0.8) == math.inf
    assert readings.seconds_to(0.4) == 0


def test_a_study_tells_what_it_knows(tmp_path):
    study = make_study(tmp_path)
    (found,) = expectations(study, ["religion", "nationality"], {"toxicity": 0.5, "likelihood": 0.1})
    known = study.scores().intact["religion"]
    assert (found.axis, found.reliability, found.n) == ("religion", known.reliability, known.n_samples)


def test_readings_end_with_every_prompt_and_stem(tiny_llama, tmp_path):
    study = score_both_ways(tiny_llama, tmp_path)
    found = {(each.axis, each.metric): each for each in expectations(study, study.prompts.axes, {"likelihood": 0.1})}
    assert set(found) == {(BY_LIKELIHOOD, "likelihood"), (BY_BOTH, "likelihood")}
    valid = study.prompts.select(axes=[BY_BOTH], split="valid").frame
    assert found[BY_BOTH, "likelihood"].most == len(valid)  # its stems are one block


def test_the_time_of_one_more_is_that_of_its_passes():
    shape = ModelShape(1_000, 1, 1)
    text, reading = (unit_seconds(shape, metric, flops=2_000 / 0.55) for metric in ("toxicity", "likelihood"))
    assert text == pytest.approx(30 * 5.5)
    assert reading == pytest.approx(41 * 3)


def test_what_is_said():
    assert expected_after("religion", "toxicity", 0.5, 1200, seconds=600, expected=0.61) == (
        "Religion by toxicity: reliability 0.50 by 1,200 texts; expected after about 10 min more: 0.61."
    )
    how = ("gender_and_sex", "likelihood", 0.47, 4320)
    told = "Gender and sex by likelihood: reliability 0.47 by 4,320 readings"
    assert expected_time(*how, aim=0.6, seconds=2400, highest=0.62) == f"{told}; 0.6 would take about 40 min more."
    assert expected_time(*how, aim=0.8, seconds=math.inf, highest=0.62) == (
        f"{told}; 0.8 is not to be expected: once every prompt is read, about 0.62."
    )
    assert expected_time(*how, aim=0.4, seconds=0, highest=0.62) == f"{told}, which is enough."
    nothing = expected_time("religion", "toxicity", -0.1, 9, aim=0.5, seconds=math.inf, highest=0)
    assert "so far there is nothing to rank" in nothing


def read(lm, root, aim, metrics=("likelihood",)):
    from helpers.log_odds import PAIRS

    from fasp_core.study.manifest import StudySettings

    settings = StudySettings(max_new_tokens=3, window_tokens=24, samples_per_shard=12, windows_per_shard=4)
    how = {"settings": settings, "pairs": PAIRS, "root": root, "name": "s"}
    return score_heads(lm, axes=[BY_BOTH], metrics=list(metrics), reliability=aim, **how)


@pytest.fixture
def small(monkeypatch):
    """A first pass of a few readings, and a bias that always matters."""
    first = Budget(samples=12, windows=4, knockout_windows=0, likelihood_reads=12)
    monkeypatch.setattr("fasp_core.scoring.score_heads.FIRST_PASS", first)
    monkeypatch.setattr(refine, "true_bias_interval", lambda *given, **more: (1.0, 2.0))


def test_prompts_are_read_until_the_order_is_reliable_enough(tiny_llama, tmp_path, small, monkeypatch):
    found = iter([0.1, 0.4, 0.6])
    monkeypatch.setattr(refine, "_by_likelihood", lambda *given: next(found))
    study = read(tiny_llama, tmp_path, 0.5)
    assert len(study.shard_names("likelihood", BY_BOTH)) == 3  # the first pass, and two shards more


def test_a_reliability_that_no_more_reading_gives_is_refused(tiny_llama, tmp_path, small, monkeypatch):
    monkeypatch.setattr(refine, "_by_likelihood", lambda *given: 0.1)
    with pytest.raises(RunError, match=r"0\.5 is not reached on religion: every prompt was read with every stem"):
        read(tiny_llama, tmp_path, 0.5)


def test_where_no_bias_matters_there_is_nothing_to_rank(tiny_llama, tmp_path, small, monkeypatch):
    monkeypatch.setattr(refine, "_by_likelihood", lambda *given: 0.1)
    monkeypatch.setattr(refine, "true_bias_interval", lambda *given, **more: (0.0, 0.01))
    with pytest.raises(RunError, match=r"no bias that matters to rank.*--metric toxicity"):
        read(tiny_llama, tmp_path, 0.5)


def test_by_both_metrics_an_axis_that_reading_settles_is_sampled_no_further(tiny_llama, tmp_path, small, monkeypatch):
    monkeypatch.setattr(refine, "_by_likelihood", lambda *given: 0.9)
    study = read(tiny_llama, tmp_path, 0.5, metrics=("toxicity", "likelihood"))
    assert len(study.shard_names("samples", BY_BOTH)) == 1


def test_the_time_is_shared_and_an_aim_has_its_own(tmp_path):
    study = make_study(tmp_path)
    known = study.scores().intact
    told = expected_sentences(study, ["gender_and_sex", "religion"], {"toxicity": 1.0}, minutes=4, aim=None)
    assert [sentence.partition(" by ")[0] for sentence in told] == ["Gender and sex", "Religion"]
    for axis, sentence in zip(("gender_and_sex", "religion"), told, strict=True):
        now = known[axis]
        expected = expected_reliability(now.reliability, 1 + 120 / now.n_samples)
        assert f"after about 2 min more: {expected:.2f}." in sentence
    (of_aim,) = expected_sentences(study, ["religion"], {"toxicity": 1.0}, minutes=None, aim=0.99)
    assert "0.99 would take about" in of_aim
