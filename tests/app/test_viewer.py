"""Viewer mode: look, select, compare, export the JSON and the report; nothing else. And who gets in at all."""

from __future__ import annotations

import json

import pytest
import streamlit as st
from helpers.app_pages import AXIS, all_text, keep, open_page
from helpers.left_job import leave_job
from helpers.made_study import make_study

from fasp_core.access import SCORERS, VIEWER, Quota
from fasp_core.files.run_log import FILE
from fasp_core.jobs.client import EvaluationClient
from fasp_core.jobs.requests import RequestQueue
from ui import words
from ui.prune import measurement
from ui.studies import new_study

ALLOWED = {"Undo", "Download configuration", "Download report", "Download configuration (JSON)"}


@pytest.fixture
def viewer(monkeypatch, cache):
    monkeypatch.setenv(VIEWER, "1")
    monkeypatch.setattr(EvaluationClient, "_ensure_worker", lambda self: False)
    monkeypatch.setattr(measurement, "VISITORS", Quota(2, 100))
    return cache


@pytest.mark.parametrize("page", ["heads", "prune", "compare", "correlations", "continuations", "export", "studies"])
def test_a_viewer_starts_changes_and_deletes_nothing(page, viewer):
    study = make_study(viewer)
    if page != "continuations":  # which would read the texts too
        keep(study, ((0, 0),))
    leave_job(viewer, status=1)
    app = open_page(f"pages/{page}.py", heads="0.0")
    assert not app.exception
    labels = {found.label for found in [*app.main.button, *app.main.get("file_uploader"), *app.main.text_input]}
    acts = ("Start", "Extend", "Import", "Rename", "Delete", "Remove", "Resume", "Make", "Collect", "Name of", "Scorer")
    acts += (words.FIND_BEST, words.OWN_PROMPT, "Continue it", "Stop")  # those of `trying` and `best`
    assert [label for label in labels if label.startswith(acts)] == []
    if page == "studies":
        assert labels == set()
        assert "for looking" in all_text(app)
        assert "made-model" in app.dataframe[0].value.to_csv()
    if page == "export":
        assert {found.label for found in app.get("download_button")} <= ALLOWED
        assert "Loading it" not in all_text(app)


def test_a_viewers_evaluations_are_counted_and_known_ones_shown(viewer):
    study = make_study(viewer)
    keep(study, ((0, 0),))
    app = open_page("pages/prune.py", axis=AXIS, heads="0.0")  # known: costs nothing
    assert RequestQueue(viewer).unfinished(60) == []
    for heads in ("0.1", "0.2", "0.3"):
        app = open_page("pages/prune.py", axis=AXIS, heads=heads)
    assert "measurement failed" not in all_text(app)  # another session each


def test_a_session_may_measure_so_many_sets_an_hour(viewer, monkeypatch):
    monkeypatch.setattr(measurement, "session_id", lambda: "me")
    make_study(viewer)
    for heads in ("0.1", "0.2"):
        assert "at most" not in all_text(open_page("pages/prune.py", axis=AXIS, heads=heads))
    text = all_text(open_page("pages/prune.py", axis=AXIS, heads="0.3"))
    assert "at most 2 sets an hour" in text.replace("\\", "")
    lines = [json.loads(line) for line in (viewer / FILE).read_text("utf-8").splitlines()]
    refused = [(line["level"], line["study"]) for line in lines if line["event"] == "evaluation refused"]
    assert refused == [("warning", "default")]


def test_a_scorer_typed_on_the_page_is_refused_unless_listed(cache, monkeypatch):
    monkeypatch.setenv(SCORERS, "my_scorer:score")
    monkeypatch.setattr(new_study, "SCORERS", ("embedded", "detoxify:unbiased", "setup:main"))  # as if it was typed
    app = open_page("pages/studies.py")
    box = next(box for box in app.selectbox if box.label == "Toxicity scorer")
    assert box.options == ["embedded", "detoxify:unbiased", "setup:main", "my_scorer:score"]
    box.select("my_scorer:score").run()
    assert not app.error
    next(box for box in app.selectbox if box.label == "Toxicity scorer").select("setup:main").run()
    assert "fasp app --scorer setup:main" in app.error[0].value.replace("\\", "")


def test_an_open_address_shows_nothing_without_login_or_viewer_mode(cache, monkeypatch):
    make_study(cache)
    option = st.get_option
    monkeypatch.setattr(st, "get_option", lambda name: "0.0.0.0" if name == "server.address" else option(name))
    app = open_page("pages/heads.py")
    assert "start it with \\-\\-viewer" in app.error[0].value
    assert len(app.sidebar) == 0
    monkeypatch.setenv(VIEWER, "1")
    assert not open_page("pages/heads.py").error


def test_a_configured_login_is_asked_for(cache, monkeypatch):
    make_study(cache)
    monkeypatch.setattr("ui.gate.login_is_configured", lambda: True)
    monkeypatch.setattr("ui.gate.st.user", type("Nobody", (), {"is_logged_in": False})())
    app = open_page("pages/heads.py")
    assert [found.label for found in app.button] == ["Log in"]
    assert len(app.sidebar) == 0
