"""The Heads page: a click on the server and in the browser for the shipped study, and a map of 80 × 64 heads."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from playwright.sync_api import Page

from fasp_core.figures import head_heatmap
from fasp_core.study.importing import import_scores

from .serving import PROJECT, chromium, served
from .timing import Timing

CLICKS = 15
LARGE = (80, 64)
DRAW = """async figure => {
    const place = document.createElement('div');
    place.style.width = '600px';
    document.body.replaceChildren(place);
    const start = performance.now();
    await Plotly.newPlot(place, figure.data, figure.layout, {displayModeBar: false});
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    return (performance.now() - start) / 1000;
}"""
CELL = """(plot, [x, y]) => {
    const box = plot.getBoundingClientRect(), full = plot._fullLayout;
    return [box.left + full._size.l + full.xaxis.d2p(x), box.top + full._size.t + full.yaxis.d2p(y)];
}"""


def measure() -> list[Timing]:
    """All timings of this page."""
    with _studies() as cache:
        timings = [_on_the_server(cache)]
        with served(cache, cache / "server.log") as address, chromium() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 1600})  # a whole map
            timings.append(_drawing(page))
            for study, shape in (("default", (30, 9)), ("large", LARGE)):
                timings.append(_clicks(page, f"{address}/?study={study}", shape))
    return timings


@contextmanager
def _studies() -> Iterator[Path]:
    """The shipped study, and imported scores of a large model."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        shutil.copytree(PROJECT / "cache" / "default", cache / "default")
        rng, n = np.random.default_rng(0), LARGE[0] * LARGE[1]
        frame = pd.DataFrame(
            {
                "layer": np.repeat(np.arange(LARGE[0]), LARGE[1]),
                "head": np.tile(np.arange(LARGE[1]), LARGE[0]),
                "z_ppl": rng.normal(0, 1, n),
                "z_ppl_se": 0.3,
                "z_bias.gender_and_sex": rng.normal(0, 1, n),
                "z_bias_se.gender_and_sex": 0.5,
            }
        )
        frame.to_csv(cache / "large.csv", index=False)
        import_scores(cache / "large.csv", name="large", root=cache)
        yield cache


def _on_the_server(cache: Path) -> Timing:
    """From a choice of a head to the end of the run it starts, under AppTest, which adds reading all elements."""
    from streamlit.testing.v1 import AppTest

    seconds = []
    with patch.dict(os.environ, FASP_CACHE=str(cache)):
        app = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=120)
        app.run()
        for flat in random.Random(0).sample(range(270), CLICKS + 1):
            box = app.selectbox(key="widget.head").set_value(divmod(flat, 9))
            start = time.perf_counter()
            box.run()
            seconds.append(time.perf_counter() - start)
    return Timing("choose a head, 30 × 9: server", tuple(seconds[1:]), 0.3)  # the first reads the samples, once


def _drawing(page: Page) -> Timing:
    """One map of the large model, drawn by plotly alone."""
    from plotly.offline import get_plotlyjs

    rng = np.random.default_rng(0)
    figure = head_heatmap(
        rng.normal(size=LARGE),
        np.full(LARGE, 0.5),
        quantity="z_bias",
        protected=[divmod(int(i), LARGE[1]) for i in rng.choice(5120, 1536, replace=False)],
    )
    page.set_content("<body></body>")
    page.add_script_tag(content=get_plotlyjs())
    drawn = json.loads(figure.to_json())
    return Timing("draw a map, 80 × 64: browser", tuple(page.evaluate(DRAW, drawn) for _ in range(5)), 2.0)


def _clicks(page: Page, address: str, shape: tuple[int, int]) -> Timing:
    """From a click on a cell to the panel of that head, in the browser."""
    page.goto(address)
    plot = page.locator(".st-key-map_z_bias .js-plotly-plot")
    seconds, rng = [], random.Random(1)
    for _ in range(CLICKS + 1):
        page.get_by_test_id("stStatusWidget").wait_for(state="detached")
        page.wait_for_function("document.querySelectorAll('.st-key-map_z_bias .js-plotly-plot').length == 1")
        plot.scroll_into_view_if_needed()
        layer, head = rng.randrange(min(shape[0], 30)), rng.randrange(shape[1])
        place = plot.evaluate(CELL, [head, layer])
        page.mouse.move(*place)
        start = time.perf_counter()
        page.mouse.click(*place)
        page.get_by_role("heading", name=f"What layer {layer}, head {head} does").wait_for()
        seconds.append(time.perf_counter() - start)
    return Timing(f"click a head, {shape[0]} × {shape[1]}: browser", tuple(seconds[1:]))
