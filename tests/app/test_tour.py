"""The tour under AppTest: its steps, the pages they open, and what is left as it was. tests/browser has the rest."""

from __future__ import annotations

import re

import pytest
from helpers.app_pages import PAGES, all_text, button, made_import, open_page
from helpers.made_study import make_study
from streamlit.testing.v1 import AppTest

from ui import words
from ui.tour import STOPS, SWITCH

HEADS = "pages/heads.py"


def shown(app: AppTest) -> list[str]:
    """The headings of the tour that are on the page."""
    return [title for title, _ in words.TOUR if f"**{title}**" in all_text(app)]


def asks_the_browser(app: AppTest) -> bool:
    """Whether the page asks the browser if this is its first opening."""
    return any("first_opening" in str(element.proto) for element in app.get("bidi_component"))


def test_the_steps_open_their_pages_and_end(cache):
    make_study(cache)
    app = button(open_page("pages/studies.py"), words.TAKE_TOUR).click().run()
    for at, ((title, text), (page, _)) in enumerate(zip(words.TOUR, STOPS, strict=True)):
        assert not app.exception
        assert app.title[0].value.lower() == page
        assert shown(app) == [title]
        assert text in all_text(app)
        assert f"{at + 1} of {len(STOPS)}" in all_text(app)
        assert button(app, words.TOUR_BACK).disabled == (at == 0)
        app = button(app, words.TOUR_NEXT if at + 1 < len(STOPS) else words.TOUR_DONE).click().run()
    assert shown(app) == []


def test_back_skip_and_the_tour_once_more(cache):
    make_study(cache)
    app = button(open_page(HEADS), words.TAKE_TOUR).click().run()
    for _ in range(2):
        app = button(app, words.TOUR_NEXT).click().run()
    assert app.title[0].value == "Prune"
    app = button(app, words.TOUR_BACK).click().run()
    assert (app.title[0].value, shown(app)) == ("Heads", [words.TOUR[1][0]])
    app = button(app, words.TOUR_SKIP).click().run()
    assert shown(app) == []
    app = button(app, words.TAKE_TOUR).click().run()
    assert shown(app) == [words.TOUR[0][0]]


def test_the_view_is_the_same_after_the_tour(cache):
    make_study(cache)
    app = button(open_page("pages/prune.py", alpha="0.25", axis="religion"), words.TAKE_TOUR).click().run()
    for _ in range(2):
        app = button(app, words.TOUR_NEXT).click().run()
    assert app.title[0].value == "Prune"
    assert app.query_params == {"alpha": "0.25", "axis": "religion"}


def test_the_page_of_a_step_can_be_left_and_used(cache):
    make_study(cache)
    app = button(open_page(HEADS), words.TAKE_TOUR).click().run()
    app = app.switch_page("pages/compare.py").run()
    assert (app.title[0].value, shown(app)) == ("Compare", [words.TOUR[0][0]])


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("switch", ["0", None])
def test_only_the_first_page_asks_the_browser_and_not_where_that_is_switched_off(page, switch, cache, monkeypatch):
    made_import(cache)
    if switch is None:
        monkeypatch.delenv(SWITCH, raising=False)
    else:
        monkeypatch.setenv(SWITCH, switch)
    app = open_page(page)
    assert asks_the_browser(app) == (page == HEADS and switch is None)
    assert shown(app) == []


@pytest.mark.parametrize("page", [HEADS, "pages/prune.py", "pages/export.py"])
def test_the_tour_stands_on_a_page_without_a_study_too(page):
    app = button(open_page(page), words.TAKE_TOUR).click().run()
    assert shown(app) == [words.TOUR[0][0]]
    assert "There is no study yet" in all_text(app)


def test_a_step_is_two_or_three_sentences():
    for _, text in words.TOUR:
        assert 2 <= len(re.findall(r"[a-z0][.](?= |$)", text)) <= 4
