"""The rows of a scorecard: in words, in a configuration and back, in the report and in the model card."""

from __future__ import annotations

import math
import statistics

import pytest
from helpers.made_study import make_study

from fasp_core.errors import InputError
from fasp_core.evaluation.harness_result import replicates, task_rows
from fasp_core.evaluation.scorecard_result import Scorecard, size_rows
from fasp_core.evaluation.scorecard_row import Row
from fasp_core.export.model_card import model_card
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.export.report import html_report
from fasp_core.export.scorecard_rows import EXPLORATORY, HEADER, SPEED, ScorecardRow, scorecard_notes
from fasp_core.selection.select_heads import select_heads
from fasp_core.stats.estimate import Estimate
from fasp_core.stats.pair_measures import HIGH, LOW, compared_estimates

AXIS = "gender_and_sex"
PARTS = Estimate(0.31, 0.02, 50), Estimate(0.21, 0.02, 50), Estimate(-0.1, 0.01, 50)
ROW = Row("log-ratio", AXIS, "mine|<b>", "nats", compared_estimates(*PARTS, ideal=LOW))
UNKNOWN = Row("preferred", None, "few", "share", compared_estimates(*[Estimate(0.5, math.nan, 3)] * 3, ideal=LOW))


def test_a_row_in_words():
    cells = ("log-ratio, nats", "Gender and sex", "mine|<b>", "0.310 ± 0.020", "0.210 ± 0.020")
    assert ScorecardRow.of(ROW).cells == (*cells, "−0.100 ± 0.010 (−0.120 to −0.080)", "better")
    assert len(cells) + 2 == len(HEADER)
    (row, _) = size_rows([[134_515_008, 269_030_016], [132_000_000, 264_000_000]])
    assert ScorecardRow.of(row).cells[3:] == ("134,515,008", "132,000,000", "−2,515,008 (exact)", "better")
    assert ScorecardRow.of(UNKNOWN).cells[3:] == ("0.500", "0.500", "+0.500 (–)", "no clear change")
    (row, _) = size_rows([[8, 16], [8, 16]])
    assert ScorecardRow.of(row).cells[5] == "0 (exact)"


def test_where_no_document_changed_there_is_no_interval():
    answers = [1.0, 0.0, 1.0] * 4
    values = replicates(answers, statistics.mean, "tiny")
    kept = {"task": "tiny", "metric": "acc", "ideal": HIGH, "n": 12, "documents": "d", "values": values}
    (row,) = task_rows({"source": "lm-eval", "rows": [kept]}, {"source": "lm-eval", "rows": [kept]})
    assert ScorecardRow.of(row).cells[5:] == ("0 (nothing changed)", "no clear change")


def test_what_is_said_below():
    assert scorecard_notes("valid", 0) == [EXPLORATORY]
    chance = "Each interval leaves out 0 by chance once in 20 times: of 21 rows about 2."
    assert scorecard_notes("test", 21) == [chance, SPEED]


@pytest.fixture
def made(tmp_path):
    study = make_study(tmp_path)
    selection = select_heads(study.scores(), axis=AXIS, alpha=0.2)
    return study, selection, [Scorecard(selection.pruned, split, (ROW, UNKNOWN), 1.0) for split in ("valid", "test")]


def test_a_configuration_keeps_it_by_split(made):
    study, selection, cards = made
    config = PruningConfig.from_selection(selection, study, scorecards=cards[:1])
    assert PruningConfig.loads(config.to_json()) == config
    assert list(config.scorecard) == ["valid"]
    assert [row.verdict for row in config.scorecard["valid"]] == ["better", "no clear change"]
    assert "scorecard" not in PruningConfig.from_selection(selection, study).to_json()
    with pytest.raises(InputError, match="of other heads"):
        PruningConfig.from_selection(selection, study, scorecards=[Scorecard(((0, 0),), "valid", (ROW,), 1.0)])


def test_report_and_card_say_exploratory_unless_it_is_of_test(made):
    study, selection, cards = made
    for some, told in ((cards[:1], True), (cards[1:], False)):
        config = PruningConfig.from_selection(selection, study, scorecards=some)
        for text in (html_report(config, selection, [], study.scores()), model_card(config, "masked")):
            assert "What else changed" in text
            assert (EXPLORATORY in text) is told
            assert "no clear change" in text
            assert "mine|<b>" not in text  # escaped
    without = PruningConfig.from_selection(selection, study)
    assert "What else changed" not in html_report(without, selection, [], study.scores())
    assert "What else changed" not in model_card(without, "masked")
