"""Names from a file are shown as typed on every page: no picture, no link, no request to another machine."""

from __future__ import annotations

import pytest
from helpers.made_study import make_study
from helpers.on_page import go, wait_until_ready
from playwright.sync_api import expect

from benchmarks.app.serving import served
from fasp_core.study.importing import import_scores

PAYLOADS = (
    "![x](http://foreign.example/p.png)",
    "http://foreign.example/a www.foreign.example me@foreign.example",
    "**b** [l](http://foreign.example) <img src=http://foreign.example> :material/home: $x^2$",
)


@pytest.fixture(scope="module")
def hostile_app(tmp_path_factory):
    """The app over one imported study whose axes are named by `PAYLOADS`."""
    cache = tmp_path_factory.mktemp("hostile")
    scores = make_study(
        tmp_path_factory.mktemp("made"), axes=("religion", "nationality", "sexual_orientation"), samples=48
    ).scores()
    frame = scores.frame.drop(columns="mask_gradient_l2")
    for axis, payload in zip(scores.axes, PAYLOADS, strict=True):
        frame.columns = [name.replace(f".{axis}", f".{payload}") for name in frame.columns]
    frame.to_csv(cache / "scores.csv", index=False)
    study = import_scores(cache / "scores.csv", name="default", root=cache)
    assert sorted(study.scores().axes) == sorted(PAYLOADS)
    with served(cache, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address


def test_markup_in_the_name_of_an_axis_is_text(hostile_app, new_page):
    page = new_page(f"{hostile_app}/?head=1.1&method=fasp_multi&alpha=0.2")
    wait_until_ready(page, "Heads")
    for title in ("Heads", "Prune", "Compare", "Correlations", "Export", "Studies"):
        if title != "Heads":
            go(page, title)
        expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
        assert page.locator("a[href*=foreign], img[src*=foreign], .katex").count() == 0, title
        if title in ("Heads", "Prune"):
            expect(page.get_by_text("![x](http:", exact=False).first).to_be_visible()
    policy = page.request.get(hostile_app).headers["content-security-policy"]
    assert "img-src 'self' data: blob:;" in policy
