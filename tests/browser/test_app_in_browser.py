"""What a person does: look, click a head, move a slider, share a link, go back, download. In a real Chromium.

Covers `help_names`, `menu` and `touch`.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pandas as pd
import pytest
from helpers.on_page import chart, click_point, download, go, place_of, press, slider, wait_until_ready
from playwright.sync_api import Locator, Page, expect

from fasp_core.export.pruning_config import PruningConfig
from fasp_core.figures.palette import LIGHT
from fasp_core.words.unlinked import unlinked

PROJECT = Path(__file__).resolve().parent.parent.parent
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
LABEL_IS_CUT = """label => label.getBoundingClientRect().right >
    label.closest("[data-testid=stMetric]").getBoundingClientRect().right + 1"""


def view_of(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def head_box(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Head", exact=True)


@pytest.fixture
def heads_page(made_app, shared_page) -> Page:
    """The Heads page, as the test before left it: each one that uses it sets what it needs."""
    page = shared_page(made_app)
    wait_until_ready(page, "Heads")
    return page


@pytest.fixture
def head_page(made_app, shared_page) -> Page:
    """The Heads page with head 3.4 open, whose charts are saved as PNG."""
    page = shared_page(f"{made_app}/?head=3.4&image=png")
    wait_until_ready(page, "Heads")
    return page


@pytest.fixture
def phone(made_app, shared_page) -> Page:
    """A phone in light colours, on the page where the test before left it."""
    return shared_page(made_app, viewport=NARROW, touch=True)


# -- heads ---------------------------------------------------------------------------------------------------------


def test_clicking_a_cell_opens_that_head(heads_page):
    page = heads_page
    rng = random.Random(0)
    for key in ("map_z_ppl", "map_z_bias"):
        for _ in range(2):
            layer, head = rng.sample(range(12), 2)
            click_point(page, key, head, layer)
            expect(head_box(page)).to_have_value(f"{layer}.{head} · layer {layer}, head {head}")
            expect(page).to_have_url(re.compile(rf"head={layer}\.{head}(&|$)"))


def test_a_point_of_the_scatter_opens_its_head(heads_page):
    page = heads_page
    # the head with the highest z_ppl stands alone on the right
    points = chart(page, "scatter").evaluate(
        "({_fullData: [heads]}) => ['x', 'y', 'text'].map(part => Array.from(heads[part]))"
    )
    x, y, text = max(zip(*points, strict=True))
    click_point(page, "scatter", x, y)
    expect(head_box(page)).to_have_value(re.compile(re.escape(text.split("<br>")[0]) + "$"))


def test_a_point_of_axis_against_axis_opens_its_head_as_a_map_does(made_app, new_page):
    page = new_page(f"{made_app}/correlations")
    wait_until_ready(page, "Correlations")
    points = chart(page, "scatter_matrix").evaluate(
        "plot => plot.data.flatMap(part => part.x.map((x, i) => [x, part.y[i], part.customdata[i]]))"
    )
    x, y, head = max(points)  # it stands alone on the right
    click_point(page, "scatter_matrix", x, y)
    expect(page.get_by_text(f"Head {head}", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(rf"head={re.escape(head)}(&|$)"))


def test_hover_tells_the_value_with_its_error(heads_page):
    page = heads_page
    page.mouse.move(*place_of(page, "map_z_bias", 3, 5))
    label = chart(page, "map_z_bias").locator(".hoverlayer")
    expect(label).to_contain_text("layer 5, head 3")
    expect(label).to_contain_text(re.compile(r"z_bias .?\d\.\d+ ± \d\.\d+"))


def test_the_table_that_is_downloaded_is_the_one_shown(heads_page, tmp_path):
    page = heads_page
    download(page, page.get_by_role("button", name="Download all scores"), tmp_path / "scores.csv")
    frame = pd.read_csv(tmp_path / "scores.csv")
    assert len(frame) == 144
    drawn = chart(page, "scatter").evaluate("plot => Array.from(plot._fullData[0].y)")
    assert frame["z_bias.gender_and_sex"].to_list() == pytest.approx(drawn)


# -- the view in the address ------------------------------------------------------------------------------------------


def test_a_copied_link_opens_the_same_view_in_another_browser(made_app, new_page):
    page = new_page(made_app)
    wait_until_ready(page, "Heads")
    click_point(page, "map_z_bias", 7, 2)
    expect(page).to_have_url(re.compile(r"head=2\.7"))
    page.get_by_text("Religion", exact=True).click()
    press(page.get_by_role("link", name="Prune"))
    wait_until_ready(page, "Prune")
    slider(page, "alpha").focus()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"alpha=0\.11"))

    other = new_page(page.url)
    wait_until_ready(other, "Prune")
    assert (
        view_of(other)
        == view_of(page)
        == {
            "axis": "religion",
            "alpha": "0.11",
            "head": "2.7",
        }
    )
    expect(slider(other, "alpha")).to_have_value("0.11")
    expect(other.get_by_role("radio", name="Religion")).to_be_checked()
    press(other.get_by_role("link", name="Heads"))
    wait_until_ready(other, "Heads")
    expect(head_box(other)).to_have_value("2.7 · layer 2, head 7")


def test_going_back_undoes_a_step_and_leaves_the_app_in_the_end(made_app, new_page):
    page = new_page("about:blank")
    page.goto(f"{made_app}/")
    wait_until_ready(page, "Heads")
    press(page.get_by_role("link", name="Prune"))
    wait_until_ready(page, "Prune")
    slider(page, "gamma").focus()
    for percent, protected in ((31, 44), (32, 46), (33, 47)):  # ⌊γ × 144⌋
        page.keyboard.press("ArrowRight")
        expect(page.get_by_text(f"{protected} protected")).to_be_visible()
        expect(page).to_have_url(re.compile(rf"/prune\?gamma=0\.{percent}$"))
    page.go_back()
    expect(slider(page, "gamma")).to_have_value("0.32")
    expect(page.get_by_text("46 protected")).to_be_visible()
    page.go_forward()
    expect(page.get_by_text("47 protected")).to_be_visible()
    for _ in range(3):  # as fast as can be, in the middle of what the page is drawing
        page.go_back()
    expect(slider(page, "gamma")).to_have_value("0.3")
    expect(page.get_by_text("43 protected")).to_be_visible()
    assert urlparse(page.url).path == "/prune"
    page.go_back()
    wait_until_ready(page, "Heads")
    page.go_back()
    assert page.url == "about:blank"


def test_the_first_visit_after_a_start_may_be_to_a_page_and_never_shows_names_of_files(served_afresh, new_page):
    page = new_page("about:blank")
    page.add_init_script(
        """window.seen = new Set();
        const links = () => document.querySelectorAll("[data-testid=stSidebarNav] a");
        new MutationObserver(() => links().forEach(link => seen.add(link.textContent)))
            .observe(document, { subtree: true, childList: true });"""
    )
    page.goto(f"{served_afresh}/prune?alpha=0.25")
    wait_until_ready(page, "Prune")
    expect(page.get_by_role("link", name="Heads")).to_be_visible()
    expect(slider(page, "alpha")).to_have_value("0.25")
    assert page.evaluate("[...seen]") == []


# -- prune ----------------------------------------------------------------------------------------------------------


def test_a_slider_selects_anew_and_a_measured_result_arrives(measuring_app, new_page, tmp_path):
    # A random model has no bias: the page asks before it ranks by one, unless the address says yes.
    page = new_page(f"{measuring_app}/prune?axis=gender_and_sex&alpha=0.24&anyway=1")
    wait_until_ready(page, "Prune")
    expect(page.get_by_text("2 of 12 heads pruned, 3 protected, 7 kept")).to_be_visible()
    slider(page, "alpha").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("3 of 12 heads pruned, 3 protected, 6 kept")).to_be_visible()  # ⌊0.25 × 12⌋
    measured = page.locator(".st-key-card_perplexity_valid").get_by_test_id("stMetricValue")
    expect(measured).to_have_text(re.compile(r"^[\d,]+\.?\d*$"), timeout=120_000)
    bias = page.locator(".st-key-card_bias_valid")
    expect(bias.get_by_text("Bias · Gender and sex, by likelihood (nats)")).to_be_visible(timeout=120_000)
    expect(chart(page, "groups")).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d+ readings of prompts and \d+ text windows?")).first).to_be_visible()

    download(page, page.get_by_role("button", name="Download configuration"), tmp_path / "config.json")
    config = PruningConfig.load(tmp_path / "config.json")
    crosses = chart(page, "selection").evaluate(
        "plot => { const c = plot.data.find(t => t.marker && t.marker.symbol === 'x-thin'); return [c.y, c.x]; }"
    )
    assert list(config.pruned) == [*zip(*crosses, strict=True)]


def test_a_study_without_its_model_still_selects_and_says_what_is_missing(made_app, shared_page):
    page = shared_page(f"{made_app}/prune")
    wait_until_ready(page, "Prune")
    expect(page.get_by_text("The measurement failed")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("made-model")).not_to_have_count(0)
    expect(page.get_by_text("Predicted").first).to_be_visible()


# -- choosing several, saving charts, keyboard ------------------------------------------------------------------------


def drag(page: Page, key: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag over a chart from one point to another, in data coordinates."""
    page.mouse.move(*place_of(page, key, *start))
    page.mouse.down()
    page.mouse.move(*place_of(page, key, *end), steps=5)
    page.mouse.up()


def test_a_box_chooses_all_heads_in_it_and_one_over_chosen_heads_takes_them_away(made_app, new_page):
    page = new_page(f"{made_app}/?several=1")
    wait_until_ready(page, "Heads")
    drag(page, "map_z_bias", (1.6, 0.6), (3.4, 2.4))
    expect(page).to_have_url(re.compile(r"chosen=1\.2-1\.3-2\.2-2\.3(&|$)"))
    expect(page.get_by_text("4 heads, each as if it acted alone")).to_be_visible()
    drag(page, "map_z_ppl", (1.7, 0.7), (2.3, 1.3))
    expect(page).to_have_url(re.compile(r"chosen=1\.3-2\.2-2\.3(&|$)"))
    press(page.get_by_role("button", name="Prune these"))
    wait_until_ready(page, "Prune")
    expect(page.get_by_text("3 of 144 heads pruned").first).to_be_visible()


def test_a_chart_is_saved_as_it_is_shown(made_app, new_page, tmp_path):
    page = new_page(f"{made_app}/?image=svg")
    wait_until_ready(page, "Heads")
    name = download(page, chart(page, "map_z_bias").locator(".modebar-btn"), tmp_path / "chart")
    assert name == "z_bias.gender_and_sex.svg"
    text = (tmp_path / "chart").read_text("utf-8")
    shown = chart(page, "map_z_bias").evaluate("plot => plot.layout.coloraxis.colorbar.ticktext")
    assert all(label in text for label in shown)
    assert text.count("<image") == 1
    assert LIGHT.selected.lstrip("#") in text or "rgb(17, 20, 24)" in text  # outlines and crosses


def test_a_chart_is_saved_as_a_png(head_page, tmp_path):
    name = download(head_page, chart(head_page, "map_z_bias").locator(".modebar-btn"), tmp_path / "chart")
    assert name == "z_bias.gender_and_sex.png"
    assert (tmp_path / "chart").read_bytes().startswith(b"\x89PNG")


def test_the_groups_of_a_head_that_are_downloaded_are_those_shown(head_page, tmp_path):
    page = head_page
    press(page.locator(".st-key-detail summary"))
    download(page, page.locator(".st-key-groups_csv").get_by_role("button"), tmp_path / "groups.csv")
    frame = pd.read_csv(tmp_path / "groups.csv")
    drawn = chart(page, "head_groups").evaluate("plot => plot._fullLayout.yaxis.ticktext")
    assert sorted(frame["group"]) == sorted(drawn)


@pytest.mark.parametrize(("typed", "layer", "head"), [("layer 7, head 11", 7, 11), ("11.10", 11, 10)])
def test_a_head_is_chosen_by_keyboard_alone(typed, layer, head, heads_page):
    page, address = heads_page, re.compile(rf"head={layer}\.{head}(&|$)")
    expect(page).not_to_have_url(address)
    head_box(page).focus()
    page.keyboard.type(typed)
    page.keyboard.press("Enter")
    expect(page).to_have_url(address)
    expect(page.get_by_role("heading", name=f"What layer {layer}, head {head} does")).to_be_visible()


def test_texts_are_shown_only_on_request_and_as_text(made_app, new_page):
    page = new_page(f"{made_app}/continuations")
    expect(page.get_by_text("(text hidden)").first).to_be_visible()
    expect(page.get_by_text("continuation 1", exact=False)).to_have_count(0)
    page.get_by_text("Show texts").click()
    expect(page.get_by_text(re.compile(r"continuation \d+")).first).to_be_visible()
    page.get_by_role("textbox", name="Search").fill("continuation 77")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 of 256 texts")).to_be_visible()


# -- looks ----------------------------------------------------------------------------------------------------------


def test_a_phone_needs_no_sideways_scrolling_and_charts_follow_the_theme(phone):
    """In light colours; the dark ones are in test_accessibility.py."""
    for title in ("Heads", "Prune", "Correlations"):
        if title != "Heads":
            go(phone, title)
        wait_until_ready(phone, title)
        assert phone.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
        main = phone.get_by_test_id("stMain")
        assert main.evaluate("main => main.scrollWidth - main.clientWidth") <= 0
        colour = phone.locator(".js-plotly-plot").first.evaluate("plot => plot._fullLayout.font.color")
        assert colour == LIGHT.text


def test_names_full_of_markup_are_shown_as_they_are(made_app, new_page):
    page = new_page(f"{made_app}/?study=hostile")
    wait_until_ready(page, "Heads")
    name = "<img src=x onerror=alert(1)> **bold** [a](http://x.y) :smile: $x$"
    expect(page.get_by_text(unlinked(name))).to_be_visible()
    expect(page.get_by_test_id("stMain").locator("img")).to_have_count(0)


# -- accessibility ---------------------------------------------------------------------------------------------------


def test_every_button_that_saves_a_chart_has_a_name_of_its_own(heads_page):
    page = heads_page
    expect(page.locator(".js-plotly-plot .modebar-btn")).to_have_count(4)
    names = page.locator(".js-plotly-plot .modebar-btn").evaluate_all("found => found.map(b => b.dataset.title)")
    assert len({*names}) == 4
    assert "Save chart z_bias.gender_and_sex" in names


def test_every_help_button_says_what_it_is_for(heads_page):
    page = heads_page
    assert page.get_by_role("button", name="Help for", exact=False).count() > 5
    expect(page.get_by_role("button", name="Help", exact=True)).to_have_count(0)
    expect(page.get_by_role("button", name="Help for z_bias · what drives the bias")).to_be_visible()


def test_no_label_of_a_number_is_cut(made_app, shared_page):
    page = shared_page(f"{made_app}/prune")
    wait_until_ready(page, "Prune")
    for width in (1440, 1024, 390):
        page.set_viewport_size({"width": width, "height": 800})
        labels = page.locator("[data-testid=stMetricLabel] p")
        expect(labels.first).to_be_visible()
        assert [label.inner_text() for label in labels.all() if label.evaluate(LABEL_IS_CUT)] == []
    page.set_viewport_size(WIDE)


def test_no_label_of_a_button_is_cut(heads_page):
    page = heads_page
    for width in (1440, 1280, 1024, 390):
        page.set_viewport_size({"width": width, "height": 800})
        labels = page.get_by_test_id("stMain").locator("[data-testid^=stBaseButton] [data-testid=stMarkdownContainer]")
        cut = "labels => labels.filter(label => label.scrollWidth > label.clientWidth).map(label => label.textContent)"
        assert labels.count() > 5
        assert labels.evaluate_all(cut) == []
    page.set_viewport_size(WIDE)


def test_a_tap_on_a_cell_opens_its_head(phone):
    if phone.get_by_role("heading", name="Heads", exact=True).count() == 0:
        go(phone, "Heads")
    wait_until_ready(phone, "Heads")
    at, before = place_of(phone, "map_z_bias", 3, 5), None
    while at != before:  # the page still grows above the map
        phone.wait_for_timeout(200)
        at, before = place_of(phone, "map_z_bias", 3, 5), at
    phone.touchscreen.tap(*at)
    expect(phone).to_have_url(re.compile(r"head=5\.3(&|$)"))


def test_on_a_phone_the_menu_closes_once_a_page_was_chosen(phone):
    link = phone.get_by_role("link", name="Studies")
    expect(link).not_to_be_in_viewport()
    press(phone.get_by_test_id("stExpandSidebarButton"))
    expect(link).to_be_in_viewport()
    press(link)
    expect(phone.get_by_role("heading", name="Studies", exact=True)).to_be_visible()
    expect(link).not_to_be_in_viewport()


def test_the_link_that_is_copied_opens_the_view(head_page):
    page = head_page
    assert view_of(page) == {"head": "3.4", "image": "png"}
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    press(page.get_by_role("button", name="Copy link"))
    expect(page.get_by_role("button", name="Link copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.url
