"""Whether there is a bias: none where there is nothing, clear where one was planted, never the prompts' own words."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from helpers.made_study import make_study

from fasp_core.data.order import each_prompt_once
from fasp_core.errors import InputError
from fasp_core.scoring.budgets import Budget
from fasp_core.scoring.score_heads import score_heads
from fasp_core.stats.omnibus import omnibus_test
from fasp_core.study import verdicts
from fasp_core.study.manifest import StudySettings
from fasp_core.study.study import open_study
from fasp_core.study.verdicts import smallest_told, unit_of
from fasp_core.study.views import AxisGroups, axis_groups

AXIS = "religion"
SMALL = StudySettings(max_new_tokens=3, window_tokens=24, samples_per_shard=48, windows_per_shard=4)
BUDGET = Budget(samples=96, windows=4, knockout_windows=1)


@dataclass
class WordScorer:
    """Rates a text by the words in it: 0.9 with any of `words`, else 0.1."""

    words: tuple[str, ...]
    name: str = "words"
    ref: str = "words"
    fingerprint: str = "1"

    def score(self, texts):
        return np.array([0.9 if any(word in text for word in self.words) else 0.1 for text in texts])


def study_by(lm, root, words, **settings):
    return score_heads(
        lm,
        axes=[AXIS],
        budget=BUDGET,
        settings=replace(SMALL, **settings),
        scorer=WordScorer(words),
        name="s",
        root=root,
    )


def test_a_constant_scorer_sees_no_bias(tiny_llama, tmp_path):
    study = study_by(tiny_llama, tmp_path, ())
    scores, verdict = study.scores(), study.omnibus(AXIS)
    assert (verdict.state, verdict.p_value) == ("none that matters", 1.0)
    assert verdict.high == pytest.approx(0, abs=1e-12)
    assert scores.base_bias(AXIS).value == pytest.approx(0)
    assert scores.prompt_echo[AXIS].value == pytest.approx(0)


def test_a_scorer_that_reads_the_prompt_alone_finds_nothing_in_continuations(tiny_llama, tmp_path):
    """It calls every prompt about one group toxic. That is the echo, and no part of the bias."""
    prompts = study_by(tiny_llama, tmp_path / "c", ()).prompts.frame
    words = tuple(prompts.loc[(prompts["axis"] == AXIS) & (prompts["group"] == "muslim"), "prompt"])
    alone, whole = (
        study_by(tiny_llama, tmp_path / "a", words),
        study_by(tiny_llama, tmp_path / "w", words, scored="text"),
    )
    assert alone.omnibus(AXIS).state != "clear"
    assert alone.scores().base_bias(AXIS).value == pytest.approx(0)
    verdict, shares = whole.omnibus(AXIS), whole.prompts.select(axes=[AXIS], split="valid").group_shares(AXIS)
    assert verdict.state == "clear"
    # One group at 0.9, all others at 0.1, by hand: μ = 0.1 + 0.8 π, so the gaps are 0.8 (1 − π) once, 0.8 π each else.
    share = shares["muslim"]
    by_hand = 0.8 * ((1 - share) + share * (len(shares) - 1))
    for study in (alone, whole):
        assert study.scores().prompt_echo[AXIS].value == pytest.approx(by_hand)
    assert whole.scores().base_bias(AXIS).value == pytest.approx(by_hand)


def test_a_planted_bias_is_clear_and_told_apart_from_none(tmp_path):
    clear = make_study(tmp_path, "biased").omnibus(AXIS)
    assert (clear.state, clear.more_texts, clear.more_units) == ("clear", None, None)
    assert clear.low > clear.matters
    none = make_study(tmp_path, "alike", biased=False).omnibus(AXIS)
    assert none.state != "clear"
    assert none.low == 0


def test_p_values_are_adjusted_for_the_axes_that_were_measured(tmp_path):
    one = make_study(tmp_path, "one", axes=("gender_and_sex",)).omnibus("gender_and_sex")
    two = make_study(tmp_path, "two").omnibus("gender_and_sex")
    assert two.p_value == pytest.approx(2 * one.p_value)


def test_an_axis_that_was_not_measured_is_one_line(tmp_path):
    make_study(tmp_path)
    with pytest.raises(InputError, match="has no axis 'nationality' by toxicity"):
        open_study("default", tmp_path).omnibus("nationality")
    with pytest.raises(InputError, match="has no axis 'religion' by likelihood"):
        open_study("default", tmp_path).omnibus("religion", metric="likelihood")


@pytest.mark.parametrize("metric", ["toxicity", "likelihood"])
def test_an_untrained_model_has_no_clear_bias(metric, tiny_llama, tmp_path):
    budget = replace(BUDGET, likelihood_reads=60)
    study = score_heads(
        tiny_llama, axes=[AXIS], metrics=[metric], budget=budget, settings=SMALL, name="untrained", root=tmp_path
    )
    assert study.omnibus(AXIS, metric=metric).state in ("none that matters", "not clear yet")


def test_descriptors_are_what_is_dealt(tmp_path):
    """A model that reacts to single words: every prompt of a descriptor has the same toxicity, whatever the group."""
    study = make_study(tmp_path, biased=False, axes=("religion",))
    frame = study.samples("religion").merge(study.prompts.frame[["prompt_id", "descriptor"]], on="prompt_id")
    alarms = {"descriptor": 0, "prompt_id": 0}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        of_word = dict(zip(frame["descriptor"].unique(), rng.beta(1, 9, frame["descriptor"].nunique()), strict=True))
        toxicity = frame["descriptor"].map(of_word)
        for unit in alarms:
            sums = toxicity.groupby([frame["group"], frame[unit]]).agg(["size", "sum"]).reset_index()
            codes = pd.Categorical(sums["group"]).codes.astype(int)
            shares = np.full(codes.max() + 1, 1 / (codes.max() + 1))
            alarms[unit] += omnibus_test(sums["size"], sums["sum"], codes, shares, permutations=200).p_value <= 0.05
    assert alarms["descriptor"] <= 4  # 1 of 20 expected; more than 4 in 3 of 1,000 such tests
    assert alarms["prompt_id"] >= 15
    assert unit_of(axis_groups(study, "religion")) == "descriptor"


def test_the_smallest_bias_told_is_below_a_clear_one_and_falls_with_more_texts(tmp_path):
    study = make_study(tmp_path, axes=(AXIS,))
    bias = study.scores().base_bias(AXIS)
    now, more = (smallest_told(study, AXIS, metric="toxicity", n=n) for n in (bias.n, 4 * bias.n))
    assert study.scores().verdict(AXIS).state == "clear"
    assert 0 < more < now < bias.value
    assert more >= now / 2 - 1e-9  # no more than the square root of the texts helps
    assert smallest_told(study, "nationality", metric="toxicity", n=100) is None
    assert smallest_told(study, AXIS, metric="likelihood", n=100) is None


def readings(
    descriptors: dict[str, int], templates: int, lacking: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prompts and readings of groups with so many descriptors; `lacking` has not the first template.

    The value of group a is 2, and 0 of the others; a template adds up to 9 to all groups alike.
    """
    names = [
        (group, f"{group}{d}", f"t{t}")
        for group, n in descriptors.items()
        for d in range(n)
        for t in range(templates)
        if (group, t) != (lacking, 0)
    ]
    frame = pd.DataFrame(names, columns=["group", "descriptor", "template"]).rename_axis("prompt_id").reset_index()
    rows = each_prompt_once(frame, seed=0, axis="a", n_blocks=117).merge(frame, on="prompt_id")
    noise = np.random.default_rng(0).normal(0, 0.1, len(rows))
    shift = rows["template"].str[1:].astype(int) % 10
    return frame, rows.assign(value=2.0 * (rows["group"] == "a") + shift + noise)[
        ["prompt_id", "cell", "block", "value"]
    ]


@pytest.mark.parametrize(
    ("descriptors", "lacking"),
    [({"a": 8, "b": 8}, None), ({"a": 8, "b": 8}, "a"), ({"a": 5, "b": 12}, None), ({"a": 2, "b": 9}, None)],
    ids=["alike", "a template less", "fewer descriptors", "prompts are dealt"],
)
def test_log_odds_of_unequal_groups_show_the_bias_that_was_planted(descriptors, lacking, monkeypatch):
    frame, rows = readings(descriptors, 12, lacking)
    shares = frame["group"].value_counts(normalize=True).sort_index()
    monkeypatch.setattr(verdicts, "axis_groups", lambda *_: AxisGroups(frame, shares))
    monkeypatch.setattr(verdicts, "odds_values", lambda *_: rows)
    found = verdicts.bias_verdicts(None, ["a"], metric="likelihood")["a"]
    planted = abs(2 * shares["a"] - 2) + abs(2 * shares["a"])  # Σ |μ − μ_g| with μ = 2 π_a
    assert found.state == "clear"
    assert found.low < planted < found.high or found.low == pytest.approx(planted, rel=0.1)
    assert found.high < 1.2 * planted
