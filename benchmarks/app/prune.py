"""The Prune page in the browser, on the default model: moves, first measured numbers, sets measured before.

Moves are timed while an evaluation runs. Between two sets that were measured whole nothing does.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

from fasp_core.evaluation.evaluate import evaluate_study
from fasp_core.evaluation.store import EvaluationStore
from fasp_core.jobs.requests import RequestQueue
from fasp_core.jobs.worker import SEEN_WITHIN_S
from fasp_core.models.open_model import reopen_model
from fasp_core.selection.select_heads import Selection, select_heads
from fasp_core.study.study import Study, open_study
from fasp_core.words.captions import selection_summary

from .serving import PROJECT, chromium, served
from .timing import Timing

AXIS, METRIC = "gender_and_sex", "likelihood"
MOVES, FRESH, KNOWN = 12, 4, 10
MEASURED_ALPHAS = (0.19, 0.20)  # out of the way of the moves; takes some minutes
PATIENCE_MS = 180_000
# The words, the crosses of the map and the rules of the page all tell of this many pruned heads.
SELECTED = """([words, pruned]) => {
    const text = document.body.innerText, plot = document.querySelector('.st-key-selection .js-plotly-plot');
    const crosses = plot && plot.data && plot.data.find(t => t.marker && t.marker.symbol === 'x-thin');
    return text.includes(words) && text.includes('predicted') && crosses && crosses.x.length === pruned;
}"""
MEASURED = """pruned => document.body.innerText.includes(`${pruned} heads pruned: measured on`)
    && document.querySelector('.st-key-card_perplexity_valid [data-testid=stMetricValue]')"""


def measure() -> list[Timing]:
    """All timings of this page."""
    with _study() as cache:
        study = open_study("default", cache)
        _measure_whole(study)
        with served(cache, cache / "server.log") as address, chromium() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 1600})
            page.goto(f"{address}/prune?axis={AXIS}&metric={METRIC}&alpha=0.08")
            _wait(page, MEASURED, len(_chosen(study, 0.08).pruned))  # the model is open from here on
            moves = _moves(page, study)
            fresh = _fresh(page, study)
            again = _known(page, address, study, cache)
    return [
        Timing("move α: selection and prediction, while an evaluation runs", tuple(moves), 0.3),
        Timing("move α to a new set: first measured numbers", tuple(fresh), 3.0),
        Timing("move α to a measured set: its numbers", tuple(again), 0.3),
    ]


@contextmanager
def _study() -> Iterator[Path]:
    """A copy of the shipped study, with the converted model beside it."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        shutil.copytree(PROJECT / "cache" / "default", cache / "default")
        (cache / "models").symlink_to(PROJECT / "cache" / "models", target_is_directory=True)
        yield cache


def _measure_whole(study: Study) -> None:
    """Have the sets of two neighbouring α measured to the end."""
    lm, store = reopen_model(study.model_record, study.name), EvaluationStore(study.folder.parent)
    for alpha in MEASURED_ALPHAS:
        for _ in evaluate_study(study, lm, _chosen(study, alpha).pruned, metrics=[METRIC], store=store):
            pass


def _chosen(study: Study, alpha: float) -> Selection:
    return select_heads(study.scores(metric=METRIC), axis=AXIS, gamma=0.3, alpha=round(alpha, 2))


def _summary(chosen: Selection) -> str:
    return selection_summary(len(chosen.pruned), len(chosen.protected), chosen.n_layers * chosen.heads_per_layer)


def _press(page: Page, key: str) -> float:
    page.locator("[class*='st-key-widget-alpha'] input[type=range]").first.focus()
    started = time.perf_counter()
    page.keyboard.press(key)
    return started


def _wait(page: Page, condition: str, argument) -> None:
    page.wait_for_function(condition, arg=argument, polling="raf", timeout=PATIENCE_MS)


def _moves(page: Page, study: Study) -> list[float]:
    """From a key on the slider to the new map, words and prediction."""
    seconds, alpha = [], 0.08
    for i in range(MOVES):
        step = 0.01 if i < MOVES // 2 else -0.01
        alpha += step
        chosen = _chosen(study, alpha)
        started = _press(page, "ArrowRight" if step > 0 else "ArrowLeft")
        _wait(page, SELECTED, [_summary(chosen), len(chosen.pruned)])
        seconds.append(time.perf_counter() - started)
        page.wait_for_timeout(400)
    return seconds


def _fresh(page: Page, study: Study) -> list[float]:
    """From a key on the slider to the first measured numbers of a set nobody has seen."""
    seconds, alpha = [], 0.08
    for _ in range(FRESH):
        alpha -= 0.01
        pruned = len(_chosen(study, alpha).pruned)
        started = _press(page, "ArrowLeft")
        _wait(page, MEASURED, pruned)
        seconds.append(time.perf_counter() - started)
        page.wait_for_timeout(1000)
    return seconds


def _known(page: Page, address: str, study: Study, cache: Path) -> list[float]:
    """From a key on the slider to the numbers of the other of the two sets that were measured, with nothing running."""
    seconds = []
    here, there = MEASURED_ALPHAS
    page.goto(f"{address}/prune?axis={AXIS}&metric={METRIC}&alpha={here:.2f}")
    _wait(page, MEASURED, len(_chosen(study, here).pruned))
    while RequestQueue(cache).unfinished(SEEN_WITHIN_S):  # of the page that was left
        page.wait_for_timeout(500)
    for _ in range(KNOWN):
        pruned = len(_chosen(study, there).pruned)
        page.wait_for_timeout(1500)
        started = _press(page, "ArrowRight" if there > here else "ArrowLeft")
        _wait(page, MEASURED, pruned)
        seconds.append(time.perf_counter() - started)
        here, there = there, here
    return seconds
