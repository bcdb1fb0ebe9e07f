"""Evidence for a head on the Heads page: a job makes it, and it is shown only where texts are shown."""

from __future__ import annotations

import json

import pytest
from helpers.app_pages import AXIS, all_text, button, open_page
from helpers.made_study import make_study

from fasp_core.access import VIEWER
from fasp_core.jobs import evidence

HEADS = "pages/heads.py"
TEXT = {
    "group": "women",
    "toxicity": 0.5,
    "tokens": ["A <b>", " bad", " day"],
    "log_ratios": [-0.5, 0.2],
    "attention": [[1.0], [0.5, 0.5], [0.2, 0.3, 0.5]],
}


@pytest.fixture
def file(cache):
    study = make_study(cache)
    return evidence.evidence_file("default", study.manifest.model["fingerprint"], AXIS, (4, 2))


def write(file):
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"texts": [TEXT]}))


def test_a_job_makes_it(file, monkeypatch):
    started = []
    monkeypatch.setattr(evidence, "start_job", lambda command, *, key, title: started.append(command))
    button(open_page(HEADS, head="4.2", axis=AXIS), "Mark the tokens").click().run()
    assert started == [["evidence", f"--axis={AXIS}", "--head=4.2", f"--to={file}", "--", "default"]]


def test_it_is_shown_with_the_texts_and_not_before(file):
    write(file)
    app = open_page(HEADS, head="4.2", axis=AXIS)
    assert not [element for element in app.get("html") if "nats" in str(element.proto.body)]
    next(toggle for toggle in app.toggle if toggle.label == "Show texts").set_value(True).run()
    assert not app.exception
    shown = "".join(str(element.proto.body) for element in app.get("html"))
    assert "A &lt;b&gt;" in shown
    assert 'title="−0.500 nats"' in shown
    assert "Mark the tokens" not in [each.label for each in app.button]


def test_a_damaged_result_is_made_anew_and_visitors_start_nothing(file, monkeypatch):
    file.parent.mkdir(parents=True)
    file.write_text('{"texts": [{"tokens": 3}]}')
    assert button(open_page(HEADS, head="4.2", axis=AXIS), "Mark the tokens")
    monkeypatch.setenv(VIEWER, "1")
    app = open_page(HEADS, head="4.2", axis=AXIS)
    assert "Mark the tokens" not in [each.label for each in app.button]
    assert "Which tokens" not in all_text(app)
