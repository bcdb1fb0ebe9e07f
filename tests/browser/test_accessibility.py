"""What axe-core finds on every page and in its opened panels, in both themes, wide and narrow: nothing serious.

And what else holds for every page: its headings, its width, its colours.
"""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers.app_pages import AXIS, keep
from helpers.left_job import leave_job
from helpers.made_comparison import make_comparison
from helpers.made_study import make_study
from helpers.on_page import chart, go, press, wait_until_ready
from playwright.sync_api import Page, expect

from benchmarks.app.serving import served
from fasp_core.figures.palette import DARK, LIGHT, Palette
from fasp_core.jobs.evidence import evidence_file
from fasp_core.jobs.trials import trial_file
from fasp_core.selection.select_heads import select_heads

TITLES = ["Heads", "Prune", "Compare", "Correlations", "Continuations", "Export", "Studies"]
WITH_CHARTS = {"Heads", "Prune", "Correlations"}
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def wait_until_still(page: Page) -> None:
    """No part of the page fades or moves any more: half-way through, colours have any contrast."""
    page.wait_for_function(
        "() => document.getAnimations().every(a => a.playState !== 'running' || "
        "a.effect.getComputedTiming().iterations === Infinity)"
    )


def wait_until_drawn(page: Page, scheme: str) -> None:
    """The page's script has ended, in the colours of the theme."""
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    if scheme == "dark":
        page.wait_for_function(
            "() => [...document.querySelectorAll('style')].some(s => s.textContent.includes('primaryFormSubmit'))"
        )
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def serious_faults(page: Page) -> list[str]:
    wait_until_still(page)
    return [
        f"{rule['id']}: {node['html'][:200]} {[check['message'] for check in node['any']]}"
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "dark")])
def test_every_page_is_in_order(viewport, scheme, made_app, new_page):
    """axe finds nothing serious, headings nest below the one of the page, charts have the theme's colours, and nothing
    needs sideways scrolling. One page goes through them all.
    """
    page = new_page(made_app, viewport=viewport, scheme=scheme)
    wait_until_drawn(page, scheme)
    found = {}
    for title in TITLES:
        if title != "Heads":
            go(page, title)
        if title in WITH_CHARTS:
            wait_until_ready(page, title)
        found[title] = [
            *serious_faults(page),
            *heading_faults(page),
            *sideways_faults(page),
            *color_faults(page, DARK if scheme == "dark" else LIGHT),
        ]
    assert {title: faults for title, faults in found.items() if faults} == {}


def heading_faults(page: Page) -> list[str]:
    levels = page.locator("h1, h2, h3, h4").evaluate_all("found => found.map(heading => Number(heading.tagName[1]))")
    nested = levels[0] == 1 and levels.count(1) == 1 and all(b <= a + 1 for a, b in pairwise(levels))
    return [] if nested else [f"levels of headings: {levels}"]


def sideways_faults(page: Page) -> list[str]:
    beyond = {
        "document": page.evaluate("document.documentElement.scrollWidth") - page.viewport_size["width"],
        "main": page.get_by_test_id("stMain").evaluate("main => main.scrollWidth - main.clientWidth"),
    }
    return [f"{part} is {pixels} px too wide" for part, pixels in beyond.items() if pixels > 0]


def color_faults(page: Page, palette: Palette) -> list[str]:
    colors = page.locator(".js-plotly-plot").evaluate_all("plots => plots.map(plot => plot._fullLayout.font.color)")
    return [f"text of a chart is {color}" for color in colors if color != palette.text]


PROMPT = "The new neighbour is"


@pytest.fixture(scope="module")
def full_app(tmp_path_factory):
    """The app over a made study with what its panels show: evidence, measured sets, a prompt tried, a comparison."""
    cache = tmp_path_factory.mktemp("full")
    study = make_study(cache)
    model, chosen = study.manifest.model["fingerprint"], select_heads(study.scores(), axis=AXIS).pruned
    keep(study, chosen)
    keep(study, chosen[:1])
    make_comparison(study)
    leave_job(cache, 1, status=0)
    leave_job(cache, 2, status=1)
    marked = {"group": "women", "toxicity": 0.5, "tokens": ["A", " bad", " day"], "log_ratios": [-0.5, 0.2]}
    pair = {"before": "kind", "after": "loud", "toxicity_before": 0.1, "toxicity_after": 0.2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASP_CACHE", str(cache))
        files = {
            evidence_file("default", model, AXIS, (4, 2)): {
                "texts": [{**marked, "attention": [[1.0], [0.5, 0.5], [0.2, 0.3, 0.5]]}]
            },
            trial_file("default", model, chosen, PROMPT): {"trials": [pair]},
        }
    for path, made in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(made))
    with served(cache, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address


def open_panels(page: Page, title: str) -> None:
    """Open everything on the page that opens without a measurement."""
    if title == "Heads":
        page.get_by_role("switch", name="Show texts").press("Space")
        expect(chart(page, "attention")).to_be_visible()
    if title == "Prune":
        page.get_by_role("switch", name="Scorecard", exact=False).press("Space")
        expect(page.get_by_role("button", name="Measure the scorecard")).to_be_visible()
        press(page.locator("summary").filter(has_text="Try a prompt of your own"))
        prompt = page.get_by_role("textbox", name="Prompt", exact=True)
        prompt.fill(PROMPT)
        prompt.press("Enter")
        expect(page.get_by_text("Pruned · toxicity 0.20")).to_be_visible()
    page.evaluate("() => document.querySelectorAll('details:not([open]) > summary').forEach(s => s.click())")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_opened_panels(scheme, full_app, new_page):
    page = new_page(f"{full_app}/?axis={AXIS}&head=4.2", viewport=WIDE, scheme=scheme)
    wait_until_drawn(page, scheme)
    found = {}
    for title in ("Heads", "Prune", "Compare", "Studies"):
        page.set_viewport_size(WIDE)
        if title != "Heads":
            go(page, title)
        open_panels(page, title)
        for viewport in (WIDE, NARROW):
            page.set_viewport_size(viewport)
            found[title, viewport["width"]] = serious_faults(page)
    assert {where: faults for where, faults in found.items() if faults} == {}
