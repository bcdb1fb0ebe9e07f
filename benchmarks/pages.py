"""From a click in the navigation to the first content of each page: `python -m benchmarks.pages [--rounds 7]`.

The app runs as a user starts it, a Chromium looks at it, and every page is visited in turn, in one session: of the
shipped study, and of a made-up one of 80 × 64 heads with two axes and 256 texts each. Content is what the page is for:
a map, a chart, the texts, the files to download. `first` is the first visit since the server was started, which also
imports and reads; the others are of a warm server. Each click waits until the page before is whole and the browser is
idle. No evaluation runs meanwhile: the benchmark holds the lock that its worker would need. Times mean something on a
quiet machine with two cores.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
from filelock import FileLock
from playwright.sync_api import Page

from benchmarks.app.serving import PROJECT, chromium, served
from fasp_core.cli.output import print_table
from fasp_core.data.articles import load_text
from fasp_core.data.order import sample_order
from fasp_core.data.prompts import load_prompts
from fasp_core.jobs.client import worker_lock
from fasp_core.study.manifest import Manifest, StudySettings
from fasp_core.study.shard_tables import ratio_table
from fasp_core.study.study import Study, create_study

AIMS_S = {"default": 2, "large": 4}  # seconds of a warm server, on two quiet cores
TITLES = {"default": "shipped", "large": "80 × 64"}
LAYERS, HEADS, TEXTS, WINDOWS = 80, 64, 256, 32
AXES = ("gender_and_sex", "religion")
SCORER = "embedded"
NO_COMPARISON = "[data-testid=stAlert]:has-text('Nothing has been compared')"
# What each page is for, as a selector; the pages in the order in which they are visited.
CONTENT = {
    "Prune": ".st-key-selection .js-plotly-plot .main-svg",
    "Compare": f".st-key-bias_curve .js-plotly-plot .main-svg, {NO_COMPARISON}",
    "Correlations": ".st-key-matrix_left .js-plotly-plot .main-svg",
    "Continuations": "button:has-text('Download these')",
    "Export": "button:has-text('Download report')",
    "Studies": "[data-testid=stHeading]:has-text('Jobs')",
    "Heads": ".st-key-map_z_bias .js-plotly-plot .main-svg",
}
PATIENCE_MS = 180_000


def large_study(root: Path) -> Study:
    """A study of random numbers in the shape of a large model: text and two axes with a clear bias, by first order."""
    rng, n_heads, prompts = np.random.default_rng(0), LAYERS * HEADS, load_prompts()
    manifest = Manifest(
        name="large",
        created="2026-01-01T00:00:00+00:00",
        model={"name": "made-up", "fingerprint": "0" * 16, "n_layers": LAYERS, "heads_per_layer": HEADS},
        prompts={"name": prompts.name, "fingerprint": prompts.fingerprint},
        text={"name": "builtin", "fingerprint": load_text().fingerprint},
        settings=StudySettings(),
        scorers={SCORER: "made"},
        axes=list(AXES),
    )
    windows = pd.DataFrame({"window_id": [0], "article": ["a"], "split": ["valid"], "token_ids": [[1, 2]]})
    study = create_study(root / "large", manifest, prompts, windows)

    def add_ratios(stream: str, n: int, tokens: int, size: float) -> None:
        ratios = rng.normal(0, size, (n, n_heads)).astype(np.float32)
        table = ratio_table(range(n), [tokens] * n, [-3.2 * tokens] * n, ratios, range(n_heads))
        study.write_shard(f"gradient.{stream}.00000.parquet", table)

    add_ratios("text", WINDOWS, 127, 1.0)
    for axis in AXES:
        valid = prompts.select(axes=[axis], split="valid").frame
        order = sample_order(valid, seed=0, axis=axis, start=0, stop=TEXTS)
        units, columns = pa.array(range(TEXTS), pa.int32()), {name: order[name] for name in ("prompt_id", "draw")}
        words = {"continuation": [f" was number {i}." for i in range(TEXTS)], "token_ids": [[i] for i in range(TEXTS)]}
        study.write_shard(f"samples.{axis}.00000.parquet", pa.table({"unit": units, **columns, **words}))
        group = order.merge(valid, on="prompt_id", how="left")["group"].astype("category").cat.codes.to_numpy()
        rated = np.clip(rng.beta(0.8, 6, TEXTS) + 0.1 * group, 0, 1)
        toxicity = pa.table({"unit": units, "toxicity": rated})
        study.write_shard(f"toxicity.{SCORER}.{axis}.00000.parquet", toxicity)
        add_ratios(axis, TEXTS, 20, 0.25)
    return study


def clicked(page: Page, title: str) -> float:
    """Seconds from a click on a page's link to its content, once what was there before is whole."""
    page.get_by_test_id("stStatusWidget").wait_for(state="detached")
    page.wait_for_load_state("networkidle")
    link = page.get_by_test_id("stSidebar").get_by_role("link", name=title, exact=True)
    started = time.perf_counter()
    link.click()
    page.get_by_role("heading", name=title, exact=True).wait_for()
    page.locator(CONTENT[title]).first.wait_for()
    return time.perf_counter() - started


def visits(cache: Path, study: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of every visit of each page of a study, by a server and a browser of their own."""
    seconds: dict[str, list[float]] = {title: [] for title in CONTENT}
    with served(cache, cache / "server.log") as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{address}/?study={study}")
        page.locator(CONTENT["Heads"]).first.wait_for()
        for _ in range(rounds):
            for title in CONTENT:
                seconds[title].append(clicked(page, title))
    return seconds


def row(title: str, study: str, seconds: list[float]) -> tuple[str, ...]:
    """A row of the table: page, study, the first visit, median and slowest of the others, the aim, and if it is met."""
    first, *warm = seconds
    times = (first, statistics.median(warm), max(warm))
    aim = AIMS_S[study]
    return (title, TITLES[study], *(f"{s:.2f} s" for s in times), f"{aim} s", "yes" if times[-1] <= aim else "no")


def main() -> None:
    """Visit the pages and print a row for each, of either study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="visits of each page, at least 2 [default: 7]")
    rounds = max(2, parser.parse_args().rounds)
    rows = []
    with TemporaryDirectory() as folder:
        cache = Path(folder)
        shutil.copytree(PROJECT / "cache" / "default", cache / "default")
        large_study(cache)
        with FileLock(worker_lock(cache)):
            for study in AIMS_S:
                rows += [row(title, study, seconds) for title, seconds in visits(cache, study, rounds).items()]
    print_table(("page", "study", "first", "median", "slowest", "at most", "met"), rows)


if __name__ == "__main__":
    main()
