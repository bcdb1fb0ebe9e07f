"""The colours of all charts, for light and dark backgrounds.

One meaning per hue everywhere: teal = the model needs it, protected; orange = drives bias, pruned; blue = the intact
model. Teal, orange and blue stay apart in the common forms of colour blindness, and no chart relies on hue alone.
"""

from __future__ import annotations

from dataclasses import dataclass

Scale = tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Palette:
    """Colours as CSS strings; a `Scale` runs from the lowest value (0) over zero (0.5) to the highest (1)."""

    page: str  # background, that of the app's theme
    text: str
    muted: str  # axis labels, whiskers
    faint: str  # error bars of many points
    grid: str
    surface: str  # hover labels
    before: str
    protected: str
    kept: str
    pruned: str
    selected: str
    z_ppl: Scale
    z_bias: Scale


def _scale(*colours: str) -> Scale:
    return tuple((i / (len(colours) - 1), colour) for i, colour in enumerate(colours))


LIGHT = Palette(
    page="#ffffff",
    text="#24292f",
    muted="#5d6670",
    faint="rgba(93,102,112,0.35)",
    grid="#e4e6e9",
    surface="#ffffff",
    before="#4c78a8",
    protected="#16806f",
    kept="#e3e5e8",
    pruned="#c2570c",
    selected="#111418",
    z_ppl=_scale("#5e2f80", "#a685c0", "#f1f1f0", "#6fbcae", "#0b6557"),
    z_bias=_scale("#1d4f91", "#7ba6d6", "#f1f1f0", "#f0a562", "#b4480a"),
)

DARK = Palette(
    page="#15181c",
    text="#e6e8eb",
    muted="#9aa3ad",
    faint="rgba(154,163,173,0.35)",
    grid="#32373e",
    surface="#22262c",
    before="#7fa9d9",
    protected="#3fb6a2",
    kept="#343a42",
    pruned="#f08c3c",
    selected="#ffffff",
    z_ppl=_scale("#d9aef5", "#80599b", "#2b3036", "#2c8676", "#83e6d4"),
    z_bias=_scale("#95c5ff", "#416fa9", "#2b3036", "#ab6024", "#ffb878"),
)


def palette(dark: bool) -> Palette:
    """The colours for a dark or a light background."""
    return DARK if dark else LIGHT
