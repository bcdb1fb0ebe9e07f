"""What axe-core finds on every page, in both themes, wide and narrow: nothing serious."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

PATHS = ["/", "/prune", "/compare", "/correlations", "/continuations", "/export", "/studies"]
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def wait_until_still(page: Page) -> None:
    """No part of the page fades or moves any more: half-way through, colours have any contrast."""
    page.wait_for_function(
        "() => document.getAnimations().every(a => a.playState !== 'running' || "
        "a.effect.getComputedTiming().iterations === Infinity)"
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "dark")])
def test_axe_finds_nothing_serious(path, viewport, scheme, made_app, new_page):
    page = new_page(made_app + path, viewport=viewport, scheme=scheme)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    if scheme == "dark":
        page.wait_for_function(
            "() => [...document.querySelectorAll('style')].some(s => s.textContent.includes('primaryFormSubmit'))"
        )
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    wait_until_still(page)
    found = Axe().run(page).response["violations"]
    serious = [
        f"{rule['id']}: {node['html'][:200]} {[check['message'] for check in node['any']]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
    assert serious == []
