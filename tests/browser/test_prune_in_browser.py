"""The Prune, Export and Studies pages in a real Chromium: heads set by hand, undo, known sets, the report, a job."""

from __future__ import annotations

import re

from helpers.on_page import chart, click_point, download, press, slider, wait_until_ready
from playwright.sync_api import expect

NARROW = {"width": 390, "height": 844}


def test_a_click_prunes_by_hand_and_undo_takes_it_back(made_app, shared_page):
    page = shared_page(f"{made_app}/prune")
    wait_until_ready(page, "Prune")
    expect(page.get_by_text("14 of 144 heads pruned, 43 protected, 87 kept")).to_be_visible()
    marked = chart(page, "selection").evaluate(
        "plot => plot.data.filter(t => t.marker && ['circle', 'x-thin'].includes(t.marker.symbol))"
        ".flatMap(t => t.x.map((x, i) => [x, t.y[i]]))"
    )
    kept = next([x, y] for y in range(12) for x in range(12) if [x, y] not in marked)
    click_point(page, "selection", *kept)
    expect(page.get_by_text("15 of 144 heads pruned")).to_be_visible()
    expect(page.get_by_text("Custom set, 15 heads")).to_be_visible()
    expect(page).to_have_url(re.compile(rf"heads=(.*-)?{kept[1]}\.{kept[0]}(-|&|$)"))
    press(page.get_by_role("button", name="Undo"))
    expect(page.get_by_text("14 of 144 heads pruned")).to_be_visible()
    expect(page).not_to_have_url(re.compile("heads="))


def test_sliders_and_the_number_of_heads_follow_each_other(made_app, shared_page):
    page = shared_page(f"{made_app}/prune")
    wait_until_ready(page, "Prune")
    number = page.get_by_role("spinbutton", name="Heads")
    number.fill("21")
    number.press("Enter")
    expect(page.get_by_text("21 of 144 heads pruned")).to_be_visible()
    slider(page, "alpha").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text(re.compile("2[1-3] of 144 heads pruned"))).to_be_visible()
    expect(number).not_to_have_value("14")


def test_the_report_opens_offline(made_app, shared_page, browser, tmp_path):
    page = shared_page(f"{made_app}/export")
    expect(page.get_by_role("button", name="Download report")).to_be_visible()
    path = tmp_path / "report.html"
    download(page, page.get_by_role("button", name="Download report"), path)
    context = browser.new_context(offline=True)
    requests = []
    reader = context.new_page()
    reader.on("request", lambda request: requests.append(request.url))
    reader.goto(path.as_uri())
    expect(reader.get_by_role("heading", name=re.compile("without 14 of its 144 attention heads"))).to_be_visible()
    expect(reader.locator("svg").first).to_be_visible()
    assert requests == [path.as_uri()]
    for width in (1100, NARROW["width"]):
        reader.set_viewport_size({"width": width, "height": 800})
        assert reader.evaluate("document.documentElement.scrollWidth") <= width
        cut = "cells => cells.filter(cell => cell.scrollWidth > cell.clientWidth).map(cell => cell.textContent)"
        assert reader.locator("td, th").evaluate_all(cut) == []
    context.close()


def test_an_export_is_followed_to_its_end_without_a_reload(made_app, shared_page):
    page = shared_page(f"{made_app}/export")
    press(page.get_by_role("button", name="Make the checkpoint"))
    # The made study has no model to export; the page says so as soon as the job has ended.
    expect(page.get_by_text("The export failed")).to_be_visible(timeout=90_000)


def test_a_study_is_started_fails_clearly_and_is_removed(made_app, new_page, tmp_path):
    page = new_page(f"{made_app}/studies")
    expect(page.get_by_role("heading", name="Studies")).to_be_visible()
    page.get_by_role("radio", name="Folder").click()
    folder = page.get_by_role("textbox", name="Folder")
    folder.fill("./nowhere")
    folder.press("Enter")
    expect(page.get_by_role("textbox", name="Name").first).to_have_value("nowhere")
    press(page.get_by_role("button", name="Start"))
    expect(page.get_by_text("there is no file or folder ./nowhere")).to_be_visible()  # no job
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    folder.fill(str(tmp_path / "empty"))
    folder.press("Enter")
    expect(page.get_by_role("textbox", name="Name").first).to_have_value("empty")
    press(page.get_by_role("button", name="Start"))
    card = page.locator("[class*='st-key-job_']").filter(has_text="Score empty")
    expect(card.get_by_test_id("stAlertContentError")).to_be_visible(timeout=90_000)
    page.reload()
    expect(card.get_by_test_id("stAlertContentError")).to_be_visible()
    expect(card).to_have_count(1)
    press(card.get_by_role("button", name="Remove", exact=True))
    expect(card).to_have_count(0)
