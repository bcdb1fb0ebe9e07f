"""The report is one file that loads nothing, says what was measured, and shows hostile names as text."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from made_study import made_evaluation, make_study

from fasp_core.config import PruningConfig
from fasp_core.report import html_report
from fasp_core.selection import select_heads

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
        return Page(html_report(config, selection, evaluations, study.scores().meta)), selection

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
    assert "Method fasp for the axis Gender and sex: γ = 0.3, α = 0.2." in text
    assert "Reliability of the order of heads by z_bias" in text
    assert "perplexity24.0 ± 1.0" in text.replace(" ±", " ±")
    assert "Perplexity rose by" in text
    assert "Bias of gender and sex fell by 0.048 to 0.072 (95 % interval)." in text
    assert "wo<b>men" in text
    assert page.tags.count("svg") == 3  # the map, the biases, the groups
    crosses = page.tags.count("path")
    assert crosses >= len(selection.pruned)


def test_what_was_not_measured_is_said(report):
    assert "Not measured." in report(())[0].text
    assert "Cut short at 40 % of its texts." in report((0.4,))[0].text
