"""The Compare page in a real Chromium: a point leads to its configuration on the Prune page."""

from __future__ import annotations

import re

import pytest
from helpers.made_comparison import make_comparison
from helpers.made_study import make_study
from helpers.on_page import chart, click_point, press, wait_until_ready
from playwright.sync_api import expect

from benchmarks.app.serving import served


@pytest.fixture(scope="module")
def compared_app(tmp_path_factory):
    """The app over a made study with a comparison, and what was compared."""
    cache = tmp_path_factory.mktemp("compared")
    table = make_comparison(make_study(cache))
    with served(cache, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address, table


def test_a_point_of_a_curve_opens_its_configuration_on_the_prune_page(compared_app, new_page):
    address, table = compared_app
    page = new_page(address)
    wait_until_ready(page, "Heads")
    press(page.get_by_role("link", name="Compare", exact=True))
    wait_until_ready(page, "Compare")
    curves = chart(page, "ppl_curve")
    x, y = curves.evaluate("""plot => {
        const line = plot.data.find(trace => trace.name === "ppl_only");
        return [line.x[1], line.y[1]];
    }""")
    click_point(page, "ppl_curve", x, y)
    expect(page.get_by_text("ppl_only, α 0.1, 2 heads:")).to_be_visible()
    press(page.get_by_role("button", name="Open on the Prune page"))
    expect(page.get_by_role("heading", name="Prune", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(r"/prune\?.*method=ppl_only"))
    rows = table.frame.query("method == 'ppl_only' and alpha == 0.1 and split == 'test'")
    assert int(rows["n_pruned"].iloc[0]) == 2  # of 6 × 4 heads
    expect(page.get_by_text("2 of 24 heads pruned")).to_be_visible()
