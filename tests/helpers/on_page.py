"""Finding one's way on a page of the app: ready, charts, cells of a map, sliders."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

MENU_LIES_OVER = 768  # pixels: on narrower screens, see ui/menu.py


def wait_until_ready(page: Page, title: str) -> None:
    """The page of this title is drawn, and its script has ended."""
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def go(page: Page, title: str) -> None:
    """Follow the menu to the page of this title, and wait until its script has ended; on a phone the menu opens first.

    Without loading the app again, which costs seconds.
    """
    link = page.get_by_role("link", name=title, exact=True)
    if page.viewport_size["width"] < MENU_LIES_OVER:
        press(page.get_by_test_id("stExpandSidebarButton"))
        expect(link).to_be_in_viewport()
    press(link)
    expect(page.get_by_role("heading", name=title, exact=True, level=1)).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def chart(page: Page, key: str) -> Locator:
    """The plotly chart with this key."""
    return page.locator(f".st-key-{key} .js-plotly-plot")


def place_of(page: Page, key: str, x: float, y: float) -> list[float]:
    """Where a chart's data coordinates are on the screen; the chart is scrolled into view."""
    plot = chart(page, key)
    expect(plot).to_have_count(1)  # a changed chart is drawn beside the old one, which then goes
    plot.scroll_into_view_if_needed()
    return plot.evaluate(
        """(plot, [x, y]) => {
            const box = plot.getBoundingClientRect(), full = plot._fullLayout;
            return [box.left + full._size.l + full.xaxis.d2p(x), box.top + full._size.t + full.yaxis.d2p(y)];
        }""",
        [x, y],
    )


def click_point(page: Page, key: str, x: float, y: float) -> None:
    """Click a chart at data coordinates, once what loads above it has stopped moving it."""
    at, before = place_of(page, key, x, y), None
    while at != before:
        page.mouse.move(*at)
        at, before = place_of(page, key, x, y), at
    page.mouse.click(*at)


def press(control: Locator) -> None:
    """Press a button or follow a link by keyboard: a click is aimed at a place, from which what loads above may have
    moved the control meanwhile.
    """
    expect(control).to_be_enabled()
    control.press("Enter")


def press_shortcut(page: Page, keys: str, button: str) -> None:
    """Press the keys that stand for a button, once they do: it is there, and the page has had two frames to listen."""
    expect(page.get_by_role("button", name=re.compile(rf"^{button}\b"))).to_be_enabled()
    page.evaluate("() => new Promise(next => requestAnimationFrame(() => requestAnimationFrame(next)))")
    page.locator("body").press(keys)


def download(page: Page, button: Locator, path: Path) -> str:
    """Save what a button downloads; returns the name that the browser would give it."""
    with page.expect_download() as started:
        press(button)
    started.value.save_as(path)
    return started.value.suggested_filename


def slider(page: Page, key: str) -> Locator:
    """The slider of γ (`gamma`) or α (`alpha`), to be focused and moved with the arrow keys."""
    # A new one comes before the old one, which is there for a moment more.
    return page.locator(f"[class*='st-key-widget-{key}'] input[type=range]").first
