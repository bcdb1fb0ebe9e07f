"""The app in a real server and a real browser; every page watches for console errors and requests to other hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from helpers import tiny
from helpers.made_study import make_study
from helpers.scored_both_ways import score_both_ways
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from benchmarks.app.serving import ARGUMENTS, PROJECT, served
from fasp_core.models.open_model import open_model

WIDE = {"width": 1280, "height": 800}
TIMEOUT_MS = 60_000
PAGES = {path.stem for path in (PROJECT / "pages").glob("*.py")}
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser test that fails runs once more, and the summary names it (RERUN): on a machine with too few cores the
    browser can lose an event, while a fault of the app fails twice. One that is named again and again is looked into.
    """
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="module")
def made_cache(tmp_path_factory) -> Path:
    """Two made studies, `default` (12 × 12 heads) and `hostile`, whose names are full of markup."""
    cache = tmp_path_factory.mktemp("made")
    make_study(cache, "default", n_layers=12, heads_per_layer=12)
    make_study(cache, "hostile", model_name="<img src=x onerror=alert(1)> **bold** [a](http://x.y) :smile: $x$")
    return cache


@pytest.fixture(scope="module")
def made_app(made_cache, tmp_path_factory) -> Iterator[str]:
    """The app over the two made studies."""
    with served(made_cache, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address


@pytest.fixture
def measuring_app(tmp_path_factory) -> Iterator[str]:
    """The app over a study of a tiny model that it can open and measure: 3 layers × 4 heads, by likelihood.

    It ends with the test, and so does its worker, which would go on measuring.
    """
    cache = tmp_path_factory.mktemp("measuring")
    lm = tiny.make_language_model(tiny.LLAMA)
    lm.model.save_pretrained(cache / "models" / "tiny")
    lm.tokenizer.save_pretrained(cache / "models" / "tiny")
    score_both_ways(open_model(str(cache / "models" / "tiny"), device="cpu"), cache, toxicity=False)
    with served(cache, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address


@pytest.fixture(scope="module")
def browser(chromium_path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=TIMEOUT_MS)
        browser = playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        yield browser
        browser.close()


def is_outdated(message: ConsoleMessage) -> bool:
    """Whether a download's address is gone: the front end tries it when it draws the button, and where the page runs
    again at once there is another one by then. That downloads work is tested by their contents."""
    file = urlparse(message.location.get("url", "")).path
    gone = file.startswith("/media/") and "404" in message.text
    return gone or "Download Button source error - 404" in message.text


class Watched:
    """Pages, each in a browser context of its own, of which all that goes wrong is noted."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.contexts: list[BrowserContext] = []
        self.faults: list[str] = []

    def open(
        self, address: str, *, viewport: dict[str, int] | None = None, scheme: str = "light", touch: bool = False
    ) -> Page:
        context = self.browser.new_context(
            viewport=viewport or WIDE, color_scheme=scheme, accept_downloads=True, has_touch=touch
        )
        self.contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        page.on("console", self.watch_console)
        page.on("pageerror", lambda error: self.faults.append(f"page: {error}"))
        page.on("request", self.watch_request)
        page.goto(address)
        return page

    def watch_console(self, message: ConsoleMessage) -> None:
        # Opened at /prune, streamlit's front end first looks for its server below /prune/; nothing can be done there.
        above = urlparse(message.location.get("url", "").rpartition("/_stcore/")[0])
        probing = above.path.strip("/") in PAGES
        if message.type == "error" and not probing and not is_outdated(message):
            self.faults.append(f"console: {message.text} ({message.location.get('url')})")

    def watch_request(self, request: Request) -> None:
        url = urlparse(request.url)
        if url.scheme not in ("data", "blob") and url.hostname != "127.0.0.1":
            self.faults.append(f"request to another host: {request.url}")

    def nothing_went_wrong(self) -> None:
        found, self.faults = self.faults, []
        assert found == []

    def close(self) -> None:
        for context in self.contexts:
            context.close()


@pytest.fixture
def new_page(browser) -> Iterator[Callable[..., Page]]:
    """Opens a page in a browser context of its own; at the end of the test, nothing may have gone wrong in any."""
    watched = Watched(browser)
    yield watched.open
    watched.close()
    watched.nothing_went_wrong()


@pytest.fixture(scope="module")
def shared_pages(browser) -> Iterator[tuple[Watched, dict[str, Page]]]:
    watched = Watched(browser)
    yield watched, {}
    watched.close()


@pytest.fixture
def shared_page(shared_pages, request) -> Iterator[Callable[..., Page]]:
    """As `new_page`, but a page that a test of this module has opened in the same way is given again, as it was left:
    opening one costs more than most tests do. A test that runs again gets a new one.
    """
    watched, pages = shared_pages

    def page_of(address: str, **look) -> Page:
        key = repr((address, look))
        if key not in pages or request.node.execution_count > 1:
            pages[key] = watched.open(address, **look)
        return pages[key]

    yield page_of
    watched.nothing_went_wrong()


@pytest.fixture
def served_afresh(tmp_path) -> Iterator[str]:
    """A server that nobody has visited yet."""
    make_study(tmp_path / "cache")
    with served(tmp_path / "cache", tmp_path / "server.log") as address:
        yield address
