"""The app in a real server and a real browser; every page watches for console errors and requests to other hosts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from urllib.parse import urlparse

import pytest
from made_study import make_study
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from benchmarks.app.serving import ARGUMENTS, PROJECT, served

WIDE = {"width": 1280, "height": 800}
TIMEOUT_MS = 30_000
PAGES = {path.stem for path in (PROJECT / "pages").glob("*.py")}


@pytest.fixture(scope="module")
def made_app(tmp_path_factory) -> Iterator[str]:
    """The app over two made studies, `default` (12 × 12 heads) and `hostile`, whose names are full of markup."""
    cache = tmp_path_factory.mktemp("made")
    make_study(cache, "default", n_layers=12, heads_per_layer=12)
    make_study(cache, "hostile", model_name="<img src=x onerror=alert(1)> **bold** [a](http://x.y) :smile: $x$")
    with served(cache, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address


@pytest.fixture(scope="module")
def shipped_app(tmp_path_factory) -> Iterator[str]:
    """The app over a copy of the shipped study, with the converted default model beside it."""
    model = PROJECT / "cache" / "models"
    if not model.is_dir():
        pytest.skip("the default model is not converted yet: run make setup")
    cache = tmp_path_factory.mktemp("shipped")
    shutil.copytree(PROJECT / "cache" / "default", cache / "default")
    (cache / "models").symlink_to(model, target_is_directory=True)
    with served(cache, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address


@pytest.fixture(scope="module")
def browser(chromium_path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=TIMEOUT_MS)
        browser = playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser) -> Iterator[Callable[..., Page]]:
    """Opens a page in a browser context of its own; at the end of the test, nothing may have gone wrong in any."""
    contexts, faults = [], []

    def watch_console(message: ConsoleMessage) -> None:
        # Opened at /prune, streamlit's front end first looks for its server below /prune/; nothing can be done there.
        above = urlparse(message.location.get("url", "").rpartition("/_stcore/")[0])
        probing = above.path.strip("/") in PAGES
        if message.type == "error" and not probing:
            faults.append(f"console: {message.text} ({message.location.get('url')})")

    def watch_request(request: Request) -> None:
        url = urlparse(request.url)
        if url.scheme not in ("data", "blob") and url.hostname != "127.0.0.1":
            faults.append(f"request to another host: {request.url}")

    def open_page(address: str, *, viewport: dict[str, int] | None = None, scheme: str = "light") -> Page:
        context = browser.new_context(viewport=viewport or WIDE, color_scheme=scheme, accept_downloads=True)
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        page.on("console", watch_console)
        page.on("pageerror", lambda error: faults.append(f"page: {error}"))
        page.on("request", watch_request)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def served_afresh(tmp_path) -> Iterator[str]:
    """A server that nobody has visited yet."""
    make_study(tmp_path / "cache")
    with served(tmp_path / "cache", tmp_path / "server.log") as address:
        yield address
