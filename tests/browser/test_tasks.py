"""What a newcomer comes for, each within a bound on clicks: hand over a set, own prompts, heads by keyboard.

Covers `example`.
"""

from __future__ import annotations

import re

from helpers.app_pages import AXIS, keep
from helpers.on_page import download, press, press_shortcut, wait_until_ready
from playwright.sync_api import Page, expect

from fasp_core.export.pruning_config import PruningConfig
from fasp_core.selection.select_heads import select_heads
from fasp_core.study.study import open_study

OWN_PROMPTS = "prompt,axis,group\n" + "\n".join(
    f"{group.title()} number {i} said,mood,{group}" for group in ("happy", "sad") for i in range(8)
)


class Clicks:
    """Presses controls and counts them."""

    def __init__(self, most: int) -> None:
        self.left = most

    def press(self, control) -> None:
        assert self.left > 0, "too many clicks"
        self.left -= 1
        press(control)


def ready(page: Page, title: str) -> None:
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def test_the_heads_that_drive_the_bias_are_told_with_intervals_and_no_click(made_app, new_page):
    page = new_page(made_app)
    wait_until_ready(page, "Heads")
    panel = page.locator(".st-key-panel")
    expect(panel.get_by_text(re.compile(r"95\s%:.*rank 1 "))).to_be_visible()
    expect(page.get_by_test_id("stDataFrame").last).to_be_visible()


def test_a_measured_set_is_handed_over_and_opened_by_another(made_app, new_page, made_cache, tmp_path):
    study = open_study("default", made_cache)
    chosen = select_heads(study.scores(), axis=AXIS).pruned
    keep(study, chosen)
    page, clicks = new_page(f"{made_app}/prune"), Clicks(3)
    ready(page, "Prune")
    clicks.press(page.get_by_role("link", name="Export"))
    ready(page, "Export")
    clicks.left -= 2  # the two downloads
    download(page, page.get_by_role("button", name="Download configuration"), tmp_path / "set.json")
    download(page, page.get_by_role("button", name="Download report"), tmp_path / "report.html")
    assert PruningConfig.load(tmp_path / "set.json").metrics["valid"].fraction_done == 1
    assert "What it does, on valid prompts" in (tmp_path / "report.html").read_text("utf-8")

    other = new_page(f"{made_app}/prune?alpha=0.02")
    ready(other, "Prune")
    other.get_by_text("Open a configuration").click()
    other.locator("input[type=file]").set_input_files(tmp_path / "set.json")
    expect(other.get_by_text(f"{len(chosen)} of 144 heads pruned").first).to_be_visible()
    expect(other).to_have_url(re.compile("alpha=0.1|heads="))


def test_own_prompts_are_uploaded_in_four_clicks(made_app, new_page, tmp_path):
    page, clicks = new_page(made_app), Clicks(4)
    wait_until_ready(page, "Heads")
    clicks.press(page.get_by_role("link", name="Studies"))
    ready(page, "Studies")
    clicks.press(page.locator("summary").filter(has_text="Prompts, text and toxicity scorer"))
    (tmp_path / "mine.csv").write_text(OWN_PROMPTS)
    clicks.left -= 1
    page.get_by_test_id("stFileUploader").filter(has_text="Or upload prompts").locator("input").set_input_files(
        tmp_path / "mine.csv"
    )
    expect(page.get_by_test_id("stMultiSelect").filter(has_text="Axes").get_by_text("Mood")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    assert clicks.left == 1


def test_the_correlations_of_published_scores_are_two_clicks_away(made_app, new_page):
    page, clicks = new_page(made_app), Clicks(3)
    wait_until_ready(page, "Heads")
    clicks.press(page.get_by_role("link", name="Correlations"))
    ready(page, "Correlations")
    clicks.press(page.get_by_role("button", name="Example: published scores of GPT-2"))
    # Published: 0.79 over all heads, but 0.05 without the 43 that the model needs most.
    expect(page.get_by_text(re.compile(r"all 144 heads: 0\.79 .*heads: 0\.05\."))).to_be_visible()


def test_arrow_keys_move_the_chosen_head(made_app, new_page):
    page = new_page(f"{made_app}/?head=3.4")
    wait_until_ready(page, "Heads")
    box = page.get_by_role("combobox", name="Head", exact=True)
    press_shortcut(page, "Shift+ArrowDown", "Down")
    expect(box).to_have_value(re.compile(r"^4\.4 "))
    press_shortcut(page, "Shift+ArrowLeft", "Left")
    expect(box).to_have_value(re.compile(r"^4\.3 "))
