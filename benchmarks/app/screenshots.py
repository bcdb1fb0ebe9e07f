"""The pictures of the README, taken anew: the shipped study, and the published scores of GPT-2."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from fasp_core.study.importing import EXAMPLE, example_study

from .serving import PROJECT, chromium, served

GENDER = "/?axis=gender_and_sex&metric=likelihood"
WIDE, TALL, NARROW = (1280, 800), (1280, 1300), (390, 844)


def _as_opened(page: Page) -> None:
    pass


def _to_the_maps(page: Page) -> None:
    page.locator(".st-key-map_z_ppl").evaluate("map => map.scrollIntoView({block: 'start'})")
    page.get_by_test_id("stMain").evaluate("main => main.scrollBy(0, -120)")


@dataclass(frozen=True)
class Shot:
    """One picture: its file name, what is opened, how it looks, and what is done before it is taken."""

    name: str
    path: str
    size: tuple[int, int] = WIDE
    scheme: str = "light"
    prepare: Callable[[Page], None] = _as_opened


SHOTS = (
    Shot("heads", GENDER, TALL),
    Shot("correlations", f"/correlations?study={EXAMPLE}"),
    Shot("heads-dark-phone", GENDER, NARROW, "dark", _to_the_maps),
)


def take(folder: Path) -> None:
    """Write the pictures as PNG files."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch)
        shutil.copytree(PROJECT / "cache" / "default", cache / "default")
        example_study(cache)
        with served(cache, cache / "server.log") as address, chromium() as browser:
            for shot in SHOTS:
                width, height = shot.size
                page = browser.new_page(
                    viewport={"width": width, "height": height}, color_scheme=shot.scheme, device_scale_factor=1.5
                )
                page.goto(address + shot.path)
                page.locator(".js-plotly-plot .main-svg").first.wait_for()
                page.get_by_test_id("stStatusWidget").wait_for(state="detached")
                page.wait_for_load_state("networkidle")
                shot.prepare(page)
                page.wait_for_timeout(1000)  # for the charts to be drawn to their end
                path = folder / f"{shot.name}.png"
                page.screenshot(path=path)
                page.close()
                with Image.open(path) as image:
                    image.convert("RGB").save(path, optimize=True)
                print(f"{path}  {path.stat().st_size // 1000} kB")
