"""A chart never leaves its place blank, nor moves what is around it, while a slider draws it anew."""

from __future__ import annotations

import pytest
from helpers.on_page import chart, slider, wait_until_ready
from playwright.sync_api import expect

# Notes for every frame how high the boxes of each chart are that are not hidden, and 0 where none of them shows a
# picture: the plot itself, or the copy of its last one.
WATCH = """keys => {
    const shown = picture => picture.querySelector(".subplot") && getComputedStyle(picture).visibility === "visible";
    window.heights = Object.fromEntries(keys.map(key => [key, []]));
    const look = () => {
        for (const key of keys) {
            const boxes = [...document.querySelectorAll(`.st-key-${key}`)].filter(box => box.offsetHeight);
            const pictures = boxes.flatMap(box => [...box.querySelectorAll(".js-plotly-plot, .fasp-still")]);
            heights[key].push(pictures.some(shown) ? boxes.reduce((sum, box) => sum + box.offsetHeight, 0) : 0);
        }
        requestAnimationFrame(look);
    };
    look();
}"""


@pytest.mark.parametrize(
    ("path", "title", "keys", "moved", "said"),
    [
        ("/prune", "Prune", ["selection"], "gamma", ["44 protected", "46 protected", "47 protected"]),
        ("/", "Heads", ["map_z_ppl", "map_z_bias"], "alpha", ["15 of 144 heads", "17 of 144 heads"]),
    ],
)
def test_in_every_frame_of_a_slider_s_move_the_maps_are_there(path, title, keys, moved, said, made_app, new_page):
    page = new_page(made_app + path)
    wait_until_ready(page, title)
    for key in keys:
        expect(chart(page, key)).to_be_visible()
    page.evaluate(WATCH, keys)
    slider(page, moved).focus()
    for words in said:  # ⌊γ × 144⌋ protected, ⌊α × 144⌋ pruned
        page.keyboard.press("ArrowRight")
        expect(page.get_by_text(words).first).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.locator(".fasp-still")).to_have_count(0)
    for key, heights in page.evaluate("heights").items():
        assert heights[0] > 100
        assert set(heights) == {heights[0]}, key
