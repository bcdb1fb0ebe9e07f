"""The app in a real server and a real browser; every page watches for console errors and requests to other hosts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse
from urllib.request import urlopen

import pytest
from made_study import make_study
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

PROJECT = Path(__file__).resolve().parent.parent.parent
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync",
    "--disable-component-update", "--disable-quic",
]  # fmt: skip
WIDE = {"width": 1280, "height": 800}
TIMEOUT_MS = 30_000
PAGES = {path.stem for path in (PROJECT / "pages").glob("*.py")}


@contextmanager
def served(cache: Path, log: Path) -> Iterator[str]:
    """The app on a free port with `cache` as its folder of studies; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true", f"--server.port={port}"]
    with log.open("wb") as out:
        server = subprocess.Popen(command, cwd=PROJECT, env={**os.environ, "FASP_CACHE": str(cache)},
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=out)  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(server, address, log)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_until_up(server: subprocess.Popen, address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urlopen(f"{address}/_stcore/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"the app did not start:\n{log.read_text()}")


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
            faults.append(f"console: {message.text}")

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
