"""The scorecard finds what was planted in a head, is silent where nothing is, reads nothing twice (`reading_tasks`)."""

from __future__ import annotations

import copy
from dataclasses import replace

import pandas as pd
import pytest
from helpers.made_metrics import made_metrics
from helpers.planted_model import PLANTED, TRIGGER, make_planted

from fasp_core.data.sentence_pairs import COLUMNS, SentencePairs
from fasp_core.errors import Cancelled, InputError
from fasp_core.evaluation import compensation, reading_tasks
from fasp_core.evaluation import scorecard as scorecards
from fasp_core.evaluation.blocks import MemoryStore
from fasp_core.evaluation.result import Evaluation
from fasp_core.evaluation.scorecard import scorecard
from fasp_core.evaluation.scorecard_result import CHECKPOINT
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.models.compensation import compensate_heads, fit_compensation
from fasp_core.stats.estimate import Estimate

PREFERRED, LOG_RATIO = "more stereotyped sentence preferred", "log-ratio of more and less stereotyped"


def made_pairs(n=30, scored="shared", unrelated=False):
    """The stereotyped sentence holds the byte after which the planted head makes the last one likelier."""
    rows = [
        (
            "jobs",
            ("valid", "test")[i % 2],
            f"unit {i}",
            f"{c}{TRIGGER}{PLANTED}",
            f"{c}M{PLANTED}",
            f"{c}Mx" * unrelated,
        )
        for i, c in enumerate("abcdefghijklmnopqrstuvxyABCDEFGHIJKL"[:n])
    ]
    return SentencePairs("made", scored, pd.DataFrame(rows, columns=list(COLUMNS)))


@pytest.fixture(scope="module")
def planted():
    return make_planted(head=1.0)


@pytest.fixture(autouse=True)
def short_passages(monkeypatch):
    """A few passages are enough here, and read in a moment."""
    whole = reading_tasks.passages
    monkeypatch.setattr(reading_tasks, "passages", lambda split: whole(split)[:12])


def last(steps):
    return list(steps)[-1]


def found(card, measure, axis="jobs"):
    return next(row for row in card.rows if (row.measure, row.axis) == (measure, axis))


def test_a_planted_preference_goes_with_its_head(planted):
    card = last(scorecard(planted, [(0, 0)], split="test", pairs=[made_pairs(36)]))
    share, log_ratio = found(card, PREFERRED).compared, found(card, LOG_RATIO).compared
    assert (share.before.value, share.after.value) == (pytest.approx(1.0), pytest.approx(0.5))
    assert share.verdict == "better"
    assert log_ratio.before.value > 1
    assert (log_ratio.after.value, log_ratio.verdict) == (pytest.approx(0, abs=1e-5), "better")
    assert card.done
    assert not card.exploratory


def test_a_head_that_does_nothing_changes_nothing(planted):
    for row in last(scorecard(planted, [(0, 1), (0, 3)], pairs=[made_pairs()])).rows:
        if row.source == CHECKPOINT:
            continue
        assert row.compared.change.value == 0, row.measure
        assert row.compared.verdict == "no clear change"


def test_what_a_compact_checkpoint_saves_is_counted_once_everything_is_read(planted):
    *_, before, card = scorecard(planted, [(0, 0)], pairs=[made_pairs()])
    assert not any(row.source == CHECKPOINT for row in before.rows)
    parameters, size = (found(card, measure, None).compared for measure in ("parameters", "size on disk"))
    assert parameters.before.value == sum(weight.numel() for weight in planted.model.parameters())
    assert (parameters.verdict, size.verdict) == ("better", "better")
    assert parameters.change.low == parameters.change.high == parameters.after.value - parameters.before.value < 0
    assert size.change.value == 4 * parameters.change.value  # float32
    assert not any(row.source == CHECKPOINT for row in last(scorecard(planted, [], pairs=[made_pairs()])).rows)


def test_where_heads_cannot_be_cut_out_no_size_is_promised(planted, monkeypatch):
    def refused(*_):
        raise InputError("not understood")

    monkeypatch.setattr(scorecards, "sizes", refused)
    card = last(scorecard(planted, [(0, 0)], pairs=[made_pairs()]))
    assert card.done
    assert not any(row.source == CHECKPOINT for row in card.rows)


def test_a_constant_model_has_no_preference_knows_nothing_and_loses_nothing():
    rows = last(scorecard(make_planted(), [(0, 0)], pairs=[made_pairs()])).rows
    values = {row.measure: row.compared.before.value for row in rows}
    assert (values[PREFERRED], values["right word preferred"]) == (pytest.approx(0.5), pytest.approx(0.5))
    assert values[LOG_RATIO] == values["last word named"] == 0
    assert values["loss per token"] == pytest.approx(5.557, abs=1e-3)  # ln 259


def test_measures_of_stereoset_see_a_broken_model(planted):
    """With its head the model always prefers the stereotype: ICAT 0. Without it, it knows nothing: 0.5 throughout."""
    card = last(scorecard(planted, [(0, 0)], pairs=[made_pairs(36, "mean", True)]))
    names = ("stereotype score (SS)", "language modeling score (LMS)", "ICAT")
    made = [found(card, name).compared for name in names]
    assert [each.after.value for each in made] == pytest.approx([0.5, 0.5, 0.5])
    assert [each.before.value for each in made] == pytest.approx([1.0, 0.75, 0.0])


def test_splits_are_not_mixed(planted):
    pairs, store = made_pairs(), MemoryStore()
    valid, test = (last(scorecard(planted, [(0, 0)], split=s, pairs=[pairs], store=store)) for s in ("valid", "test"))
    assert found(valid, PREFERRED).compared.before.n == found(test, PREFERRED).compared.before.n == 15
    assert (valid.exploratory, test.exploratory) == (True, False)
    keys = {key for key, _, _ in store._blocks} - {reading_tasks.size_key(planted.fingerprint, planted.dtype_name)}
    tasks = [
        {t.key for t in reading_tasks.reading_tasks(planted.fingerprint, planted.dtype_name, s, [pairs])}
        for s in ("valid", "test")
    ]
    assert keys == tasks[0] | tasks[1]
    assert not tasks[0] & tasks[1]
    read = [
        {t for task in pairs.frame.query("split == @s")[["more", "less"]].to_numpy() for t in task}
        for s in ("valid", "test")
    ]
    assert not read[0] & read[1]


def test_it_comes_step_by_step_and_nothing_is_read_twice(planted, tmp_path, monkeypatch):
    store = EvaluationStore(tmp_path)
    steps = list(scorecard(planted, [(0, 0)], pairs=[made_pairs()], store=store))
    assert [step.done for step in steps] == [*[False] * (len(steps) - 1), True]
    assert [step.fraction_done for step in steps] == sorted(step.fraction_done for step in steps)
    assert len(steps[0].rows) == 2
    assert found(steps[0], PREFERRED).compared.before.n == reading_tasks.BLOCK
    assert all(row.compared.change.se >= 0 for row in steps[0].rows)  # with intervals from the first block on

    def unwanted(*args, **kwargs):
        raise AssertionError("was read before")

    monkeypatch.setattr(scorecards, "token_scores", unwanted)
    assert last(scorecard(planted, [(0, 0)], pairs=[made_pairs()], store=store)) == steps[-1]
    with pytest.raises(AssertionError, match="read before"):
        list(scorecard(planted, [(0, 1)], pairs=[made_pairs()], store=store))


def test_a_stop_keeps_what_was_read(planted):
    store, stopped = MemoryStore(), []
    steps = scorecard(planted, [(0, 0)], pairs=[made_pairs()], store=store, stop=lambda: bool(stopped))
    next(steps)
    stopped.append(True)
    kept = len(store._blocks)
    with pytest.raises(Cancelled):
        next(steps)
    assert len(store._blocks) == kept > 0


def made_evaluation(pruned=((0, 0),), split="valid"):
    def part(ppl, bias, repeated):
        texts = {
            "repetition": Estimate(repeated, 0.01, 50),
            "distinct_bigrams": Estimate(0.9 - repeated, 0.01, 50),
            "length": Estimate(50 * repeated, 0.1, 50),
        }
        return made_metrics(Estimate(ppl, 0.1, 9), {"race": Estimate(bias, 0.01, 50)}, degeneration=texts)

    change = part(2.0, -0.05, 0.1)
    change.degeneration["distinct_bigrams"] = Estimate(-0.1, 0.01, 50)
    return Evaluation(pruned, split, part(20.0, 0.2, 0.1), part(22.0, 0.15, 0.2), change, 50, 9, 1.0)


def test_what_evaluate_measured_stands_first(planted):
    card = next(iter(scorecard(planted, [(0, 0)], evaluation=made_evaluation(), pairs=[made_pairs()])))
    told = [(row.measure, row.axis, row.compared.verdict) for row in card.rows[:5]]
    assert told == [
        ("bias", "race", "better"),
        ("perplexity", None, "worse"),
        ("repetition", None, "worse"),
        ("distinct bigrams", None, "worse"),
        ("length", None, "changed"),
    ]
    for other in (made_evaluation(((0, 1),)), made_evaluation(split="test")):
        with pytest.raises(InputError, match="of other heads or of the other split"):
            next(scorecard(planted, [(0, 0)], evaluation=other))


def test_what_does_not_exist_is_refused(planted):
    with pytest.raises(InputError, match="head"):
        next(scorecard(planted, [(7, 0)]))
    with pytest.raises(InputError, match="unknown split"):
        next(scorecard(planted, [(0, 0)], split="train"))


def test_a_set_without_a_pair_in_the_split_has_no_row(planted):
    only = made_pairs()
    only = SentencePairs("made", "shared", only.frame[only.frame["split"] == "test"].reset_index(drop=True))
    assert all(row.axis is None for row in last(scorecard(planted, [], pairs=[only])).rows)


def test_the_pruned_model_may_be_the_compensated_one(tiny_llama, monkeypatch):
    """Truth: the refit put into a copy of the model, which is then read as any intact model is."""
    windows, heads, store = [list(range(3, 99))] * 2, ((0, 0), (1, 1)), MemoryStore()
    monkeypatch.setattr(compensation, "calibration_windows", lambda *_: windows)
    how = {"split": "test", "pairs": [made_pairs(12)], "store": store}
    hole, card = (last(scorecard(tiny_llama, heads, compensate=c, **how)) for c in ("none", "mean"))
    assert (hole.compensate, card.compensate) == ("none", "mean")
    model = compensate_heads(copy.deepcopy(tiny_llama.model), fit_compensation(tiny_llama, heads, windows, how="mean"))
    by_hand = last(scorecard(replace(tiny_llama, model=model), (), **{**how, "store": MemoryStore()}))
    for row in by_hand.rows:
        mine, gone = (found(c, row.measure, row.axis).compared for c in (card, hole))
        assert mine.after.value == pytest.approx(row.compared.before.value, rel=1e-4, abs=1e-6)
        assert mine.before == gone.before
    assert any(
        found(card, row.measure, row.axis).compared.after != found(hole, row.measure, row.axis).compared.after
        for row in by_hand.rows
    )
    evaluation = Evaluation(heads, "test", *[made_metrics(Estimate(20, 0.1, 50), {})] * 3, 0, 50, 1.0)
    with pytest.raises(InputError, match="the evaluation is with compensation 'none', not 'mean'"):
        last(scorecard(tiny_llama, heads, compensate="mean", evaluation=evaluation, **how))
