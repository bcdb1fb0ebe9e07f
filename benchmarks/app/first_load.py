"""The first load of the app in a browser without a cache: how many requests, how many bytes, and what they are for."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import urlopen

from fasp_core.cli.output import print_table

from .serving import PROJECT, chromium, served

LARGEST = 8  # files that are named


@dataclass(frozen=True)
class Loaded:
    """One answer of the server: its path, the bytes that were sent for it, and those that gzip would have sent."""

    path: str
    sent: int
    packed: int


def first_load() -> list[Loaded]:
    """What a new browser gets until the Heads page of the shipped study is drawn."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        shutil.copytree(PROJECT / "cache" / "default", cache / "default")
        with served(cache, cache / "server.log") as address, chromium() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            network = page.context.new_cdp_session(page)
            urls: dict[str, str] = {}
            sent: dict[str, int] = {}
            network.on("Network.requestWillBeSent", lambda e: urls.update({e["requestId"]: e["request"]["url"]}))
            network.on("Network.loadingFinished", lambda e: sent.update({e["requestId"]: int(e["encodedDataLength"])}))
            network.send("Network.enable")
            page.goto(address)
            page.locator(".js-plotly-plot .main-svg").first.wait_for()
            page.get_by_test_id("stStatusWidget").wait_for(state="detached")
            page.wait_for_load_state("networkidle")
            answers = {i: url for i, url in urls.items() if i in sent and url.startswith(address)}
            return [Loaded(urlparse(url).path, sent[i], _packed(url, sent[i])) for i, url in answers.items()]


def _packed(url: str, sent: int) -> int:
    """The size of a script or style sheet after gzip; of anything else what was sent."""
    if not url.endswith((".js", ".css")):
        return sent
    with urlopen(url, timeout=60) as answer:
        return len(gzip.compress(answer.read()))


def show(loaded: list[Loaded]) -> None:
    """Print the sum, and the largest files by name."""
    sent, packed = (sum(getattr(answer, size) for answer in loaded) / 1e6 for size in ("sent", "packed"))
    scripts = sum(answer.path.endswith(".js") for answer in loaded)
    print(f"{len(loaded)} requests, {scripts} of them for scripts; {sent:.1f} MB, {packed:.1f} MB by gzip")
    rows = [
        (answer.path, f"{answer.sent / 1e6:.2f} MB", f"{answer.packed / 1e6:.2f} MB")
        for answer in sorted(loaded, key=lambda answer: -answer.sent)[:LARGEST]
    ]
    print_table(("largest", "sent", "by gzip"), rows)
