"""Contrast by WCAG 2.2, and colours that the colour blind can tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from fasp_core.figures.palette import DARK, LIGHT

# Machado, Oliveira, Fernandes 2009, severity 1: what is left of linear RGB in each form of colour blindness.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("colours", "background"), [(LIGHT, "#ffffff"), (DARK, "#15181c")])
def test_text_and_marks_have_enough_contrast(colours, background):
    def contrast(colour: str) -> float:
        high, low = sorted((luminance(colour), luminance(background)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert contrast(colours.text) >= 7
    assert contrast(colours.muted) >= 4.5
    for mark in (colours.before, colours.protected, colours.pruned, colours.selected):
        assert contrast(mark) >= 3


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_diverging_colours_grow_away_from_zero_to_both_sides(colours):
    background = luminance(colours.grid)
    for scale in (colours.z_ppl, colours.z_bias):
        distance = [abs(luminance(colour) - background) for _, colour in scale]
        assert distance[0] > distance[1] > distance[2] < distance[3] < distance[4]


def lab(colour: str, form: str) -> np.ndarray:
    """CIE L*a*b* of a colour as seen with a form of colour blindness."""
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLINDNESS[form]) @ linear, 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x, y, z = np.cbrt(np.array(to_xyz) @ seen / [0.95047, 1.0, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("form", BLINDNESS)
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_that_must_not_be_confused_stay_apart_for_the_colour_blind(colours, form):
    def distance(one: str, other: str) -> float:
        return float(np.linalg.norm(lab(one, form) - lab(other, form)))

    pairs = [
        (colours.protected, colours.pruned),
        (colours.protected, colours.kept),
        (colours.pruned, colours.kept),
        (colours.before, colours.pruned),
        *((scale[0][1], scale[-1][1]) for scale in (colours.z_ppl, colours.z_bias)),
        *((scale[1][1], scale[-2][1]) for scale in (colours.z_ppl, colours.z_bias)),
    ]
    assert min(distance(*pair) for pair in pairs) > 20
