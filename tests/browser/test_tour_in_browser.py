"""The app as a newcomer meets it: its name and purpose, and the tour, which opens once, and again when asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers.made_study import make_study
from helpers.on_page import press, wait_until_ready
from playwright.sync_api import Locator, Page, expect

from benchmarks.app.serving import served
from ui import words

NARROW = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def app_with_tour(tmp_path_factory) -> Iterator[str]:
    cache = tmp_path_factory.mktemp("tour")
    make_study(cache)
    with served(cache, tmp_path_factory.mktemp("log") / "server.log", tour=True) as address:
        yield address


def step(page: Page, number: int) -> Locator:
    """The box of a step, counted from 0."""
    return page.get_by_role("dialog", name=words.tour_label(words.TOUR[number][0]))


def test_the_tour_opens_once_points_at_the_page_and_is_found_again(app_with_tour, new_page):
    page = new_page(f"{app_with_tour}/?alpha=0.25")
    expect(step(page, 0)).to_be_visible()
    expect(step(page, 0)).to_be_focused()
    expect(page.get_by_test_id("stSidebarLogo")).to_be_visible()
    expect(page.get_by_test_id("stSidebar").get_by_text(words.PURPOSE)).to_be_visible()
    expect(page.locator(".st-key-panel")).to_have_css("outline-style", "solid")
    press(page.get_by_role("button", name=words.TOUR_NEXT))
    expect(step(page, 1)).to_be_visible()
    for key in ("map_z_ppl", "map_z_bias"):
        expect(page.locator(f".st-key-{key}")).to_have_css("outline-style", "solid")
    expect(page.locator(".st-key-panel")).to_have_css("outline-style", "none")
    press(page.get_by_role("button", name=words.TOUR_NEXT))
    wait_until_ready(page, "Prune")
    expect(step(page, 2)).to_be_visible()
    for part in ("gamma", "alpha"):
        expect(page.locator(f"[class*=st-key-widget-{part}]").first).to_have_css("outline-style", "solid")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.url == f"{app_with_tour}/prune?alpha=0.25"

    page.goto(f"{app_with_tour}/?alpha=0.25")
    wait_until_ready(page, "Heads")
    expect(page.get_by_role("dialog")).to_have_count(0)
    press(page.get_by_role("button", name=words.TAKE_TOUR))
    expect(step(page, 0)).to_be_visible()


def test_a_step_on_a_dark_phone_fits_and_axe_finds_nothing_serious(app_with_tour, new_page):
    page = new_page(app_with_tour, viewport=NARROW, scheme="dark")
    expect(step(page, 0)).to_be_visible()
    expect(step(page, 0)).to_have_css("background-color", "rgb(30, 34, 39)")
    wait_until_ready(page, "Heads")
    box = step(page, 0).bounding_box()
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= NARROW["width"]
    assert box["y"] + box["height"] <= NARROW["height"]
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth - main.clientWidth") <= 0
    found = Axe().run(page).response["violations"]
    assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == []
