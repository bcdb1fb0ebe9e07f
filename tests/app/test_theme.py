"""The colours of the app's themes, by WCAG's formula: text at least 4.5 : 1, marks at least 3 : 1."""

from __future__ import annotations

import re
import tomllib

import pytest
from helpers.app_pages import PROJECT

CAPTION = 0.6  # streamlit draws captions and other quiet text with this opacity
THEMES = tomllib.loads((PROJECT / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]


def rgb(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def luminance(colour: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula_gives_the_known_ends():
    assert contrast(rgb("#000000"), rgb("#ffffff")) == pytest.approx(21)
    assert contrast(rgb("#777777"), rgb("#ffffff")) == pytest.approx(4.48, abs=0.005)  # W3C's example


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("behind", ["backgroundColor", "secondaryBackgroundColor"])
def test_text_and_captions_can_be_read(theme, behind):
    colours = THEMES[theme]
    text, background = rgb(colours["textColor"]), rgb(colours[behind])
    faded = [CAPTION * t + (1 - CAPTION) * b for t, b in zip(text, background, strict=True)]
    assert contrast(text, background) >= 4.5
    assert contrast(faded, background) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_primary_colour_can_be_read_and_be_written_on(theme):
    colours = THEMES[theme]
    primary = rgb(colours["primaryColor"])
    on_primary = rgb("#ffffff")  # streamlit's own
    if theme == "dark":
        on_primary = rgb(re.search(r"color: (#\w{6});", (PROJECT / "static" / "dark.css").read_text("utf-8"))[1])
    for other in (on_primary, rgb(colours["backgroundColor"]), rgb(colours["secondaryBackgroundColor"])):
        assert contrast(primary, other) >= 4.5
