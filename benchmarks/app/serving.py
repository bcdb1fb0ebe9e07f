"""The app on a free port over a folder of studies, and a Chromium to look at it with."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, sync_playwright

PROJECT = Path(__file__).resolve().parent.parent.parent
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-sync",
    "--disable-component-update",
    "--disable-quic",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
STARTS_WITHIN_S = 180


@contextmanager
def served(cache: Path, log: Path, *, tour: bool = False) -> Iterator[str]:
    """The app on a free port with `cache` as its folder of studies; gives its address. `tour`: it may open by itself.

    Raises RuntimeError where it does not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "serve.py", "--server.headless=true", f"--server.port={port}"]
    with log.open("wb") as out:
        server = subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**os.environ, "FASP_CACHE": str(cache), "FASP_TOUR": "1" if tour else "0"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(server, address, log)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_until_up(server: subprocess.Popen, address: str, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(f"{address}/_stcore/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the app did not start:\n{log.read_text()}")


def find_browser() -> str | None:
    """Path of an installed Chromium or Chrome, None without one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; RuntimeError where none is installed."""
    path = find_browser()
    if path is None:
        raise RuntimeError("no browser found: install chromium (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()
