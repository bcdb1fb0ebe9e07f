"""One pruned model against another: what evaluations of either say, and nothing where they are the same."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from helpers.log_odds import PAIRS

from fasp_core.data.articles import load_text
from fasp_core.data.prompts import load_prompts
from fasp_core.data.windows import token_windows
from fasp_core.evaluation.blocks import MemoryStore, Work
from fasp_core.evaluation.difference import measured_difference
from fasp_core.evaluation.evaluate import evaluate
from fasp_core.evaluation.keys import EvaluationSettings
from fasp_core.toxicity.scorers import open_scorer

AXIS = "gender_and_sex"
SMALL = EvaluationSettings(blocks=2, prompts_per_block=12, windows_per_block=1, window_tokens=24, max_new_tokens=3)
FIRST, SECOND = [(0, 1), (2, 3)], [(1, 0), (2, 2)]


class Measured:
    """Evaluations and differences of a tiny model's heads, on the same blocks."""

    def __init__(self, lm, windows, metric="likelihood"):
        self.lm, self.windows, self.metric, self.store = lm, windows, metric, MemoryStore()
        self.prompts, self.scorer = load_prompts(), open_scorer("embedded")

    def work(self, compensate="none", settings=SMALL):
        stream = f"likelihood.{AXIS}" if self.metric == "likelihood" else AXIS
        streams, given = (stream,), (self.prompts, self.windows, self.scorer, settings)
        return Work(self.lm, streams, "test", *given, None, PAIRS, compensate)

    def against_intact(self, heads, compensate="none"):
        *_, last = evaluate(
            self.lm,
            heads,
            [AXIS],
            metrics=[self.metric],
            split="test",
            compensate=compensate,
            prompts=self.prompts,
            windows=self.windows,
            scorer=self.scorer,
            pairs=PAIRS,
            settings=SMALL,
            store=self.store,
        )
        return last

    def difference(self, heads, other, compensate="none", its_own="none"):
        return measured_difference(self.work(compensate), heads, self.work(its_own), other, self.store)


@pytest.fixture
def windows(tiny_llama):
    return token_windows(tiny_llama.tokenizer, load_text().frame, length=SMALL.window_tokens)


@pytest.fixture
def measured(tiny_llama, windows):
    return Measured(tiny_llama, windows)


def numbers(value):
    """All numbers in nested dicts, in order."""
    if isinstance(value, dict):
        for name in value:
            yield from numbers(value[name])
    elif isinstance(value, int | float):
        yield value


@pytest.mark.parametrize("metric", ["likelihood", "toxicity"])
def test_before_and_after_are_what_evaluations_of_the_two_models_say(tiny_llama, windows, metric):
    measured = Measured(tiny_llama, windows, metric)
    first, second = map(measured.against_intact, (FIRST, SECOND))
    found = measured.difference(FIRST, SECOND)
    for told, measured_alone in ((found.before, second.after), (found.after, first.after)):
        # of texts too short for bigrams, those count that have them in both models, which are others here and there
        told, measured_alone = (asdict(replace(each, degeneration={})) for each in (told, measured_alone))
        assert list(numbers(told)) == pytest.approx(list(numbers(measured_alone)), abs=1e-12, nan_ok=True)
    mine, theirs = (each.axes_by(metric)[AXIS].bias.value for each in (first.after, second.after))
    change = found.change.axes_by(metric)[AXIS].bias
    assert change.value == pytest.approx(mine - theirs)
    assert change.se > 0
    assert found.change.ppl.value == pytest.approx(first.ppl - second.ppl)
    assert (found.n_texts, found.n_readings, found.n_windows) == (first.n_texts, first.n_readings, first.n_windows)


def test_against_the_intact_model_it_is_the_evaluation(measured):
    told = measured.against_intact(FIRST)
    assert measured.difference(FIRST, ()) == told


def test_a_model_does_not_differ_from_itself(measured):
    measured.against_intact(FIRST)
    found = measured.difference(FIRST, FIRST)
    for change in (found.change.ppl, found.change.odds[AXIS].bias):
        assert (change.value, change.se) == (0, 0)


def test_models_that_hardly_differ_are_told_apart_better_than_by_either_interval(measured):
    """One more head of little weight: the noise that both share cancels."""
    more = [*FIRST, (1, 1)]
    alone = [measured.against_intact(heads).change.ppl for heads in (FIRST, more)]
    apart = sum(each.se**2 for each in alone) ** 0.5
    assert measured.difference(more, FIRST).change.ppl.se < apart


def test_what_takes_the_heads_place_may_be_all_that_differs(measured, short_calibration_text):
    plain, refitted = measured.against_intact(FIRST), measured.against_intact(FIRST, "least_squares")
    found = measured.difference(FIRST, FIRST, "least_squares", "none")
    assert found.compensate == "least_squares"
    assert found.change.ppl.value == pytest.approx(refitted.ppl - plain.ppl)
    assert found.change.ppl.value != 0


def test_other_texts_are_no_comparison(measured):
    others = measured.work(settings=replace(SMALL, seed=1))
    with pytest.raises(ValueError, match="same texts"):
        measured_difference(measured.work(), FIRST, others, SECOND, measured.store)
