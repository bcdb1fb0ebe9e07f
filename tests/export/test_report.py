"""The report is one file that loads nothing, says what was measured, and shows hostile names as text.

Covers `report_svg`.
"""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from helpers.made_study import made_evaluation, make_study

from fasp_core.export.model_card import model_card
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.export.report import html_report
from fasp_core.selection.select_heads import select_heads

AXIS = "gender_and_sex"


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def report(tmp_path):
    """Makes the report of a made study, with these evaluations."""
    study = make_study(tmp_path, model_name='<script>alert(1)</script> & "co"')
    selection = select_heads(study.scores(), axis=AXIS, alpha=0.2)

    def report(fractions=(1.0,)):
        evaluations = [made_evaluation(selection.pruned, AXIS, ["men", "wo<b>men"], f) for f in fractions]
        config = PruningConfig.from_selection(selection, study, evaluations)
        return Page(html_report(config, selection, evaluations, study.scores())), selection

    return report


def test_nothing_is_loaded_and_nothing_runs(report):
    page, _ = report()
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [a for a in page.attributes if a[0] in ("src", "href", "srcset") or a[0].startswith("on")]
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    assert "url(" not in page.text


def test_it_says_what_was_chosen_measured_and_how_sure_that_is(report):
    page, selection = report()
    text = " ".join(page.text.split())
    assert '<script>alert(1)</script> & "co" without 4 of its 24 attention heads' in text
    assert "Method fasp for the axis Gender and sex, by toxicity: γ = 0.3, α = 0.2." in text
    assert "Reliability of the order of heads by z_bias" in text
    assert "perplexity24.0 ± 1.0" in text.replace(" ±", " ±")
    assert "Perplexity rose by" in text
    assert "Bias of gender and sex by toxicity fell by 0.048 to 0.072 (95 % interval)." in text
    assert "wo<b>men" in text
    assert page.tags.count("svg") == 3  # the map, the biases, the groups
    crosses = page.tags.count("path")
    assert crosses >= len(selection.pruned)


def test_which_scores_chose_is_said_where_something_takes_the_heads_place(tmp_path, report):
    assert "chosen by their scores" not in report()[0].text
    study = make_study(tmp_path, "c")
    selection = select_heads(study.scores(), axis=AXIS, alpha=0.2)
    config = PruningConfig.from_selection(selection, study, compensate="least_squares")
    text = " ".join(Page(html_report(config, selection, [], study.scores())).text.split())
    assert "γ = 0.3, α = 0.2. The heads were chosen by their scores without compensation." in text


def test_what_was_not_measured_is_said(report):
    assert "Not measured." in report(())[0].text
    assert "Incomplete: 40 % of the measurement." in report((0.4,))[0].text


def test_each_number_carries_its_measure(tmp_path):
    study = make_study(tmp_path)
    scores = study.scores()
    selection = select_heads(scores, axis=AXIS, alpha=0.2)
    made = made_evaluation(selection.pruned, AXIS, ["men", "women"], 1.0)
    parts = {
        name: replace(getattr(made, name), odds=getattr(made, name).axes) for name in ("before", "after", "change")
    }
    both = replace(made, **parts, n_readings=300)
    config = PruningConfig.loads(PruningConfig.from_selection(selection, study, both).to_json())
    after = config.metrics["valid"].after
    assert after.likelihood.bias[AXIS] == after.bias[AXIS]

    by_likelihood = replace(scores, meta=scores.meta.model_copy(update={"metric": "likelihood"}))
    text = " ".join(Page(html_report(config, selection, [both], by_likelihood)).text.split())
    assert "500 texts, 300 readings of prompts and 50 text windows" in text
    assert text.index("bias · Gender and sex, by likelihood (nats)") < text.index("bias · Gender and sex, by toxicity")
    assert "Bias of gender and sex by likelihood fell by 0.048 to 0.072 nats (95 % interval)." in text
    assert "Mean log-odds of toxic words (nats) of the groups of gender and sex" in text
    card = model_card(config, "masked")
    for measure in ("toxicity", "likelihood (nats)"):
        assert f"| valid, exploratory | bias gender\\_and\\_sex, by {measure} |".replace("\\", "") in card.replace(
            "\\", ""
        )
