"""Pictures of a report as SVG text: no script, no font, nothing to load. Light colours, for screens and paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from fasp_core.figures.palette import LIGHT
from fasp_core.head import head_of
from fasp_core.selection.select_heads import Selection
from fasp_core.stats.estimate import Estimate
from fasp_core.words.numbers import format_interval, format_number

WIDTH = 640
LABELS = 150  # pixels left of the axis of a chart


def selection_svg(selection: Selection) -> str:
    """The map of heads, layer 0 on top: protected with a dot, pruned with a cross."""
    layers, heads = selection.n_layers, selection.heads_per_layer
    cell = max(6, min(26, 480 // max(layers, heads)))
    left, top = 40, 20
    fills = {"protected": LIGHT.protected, "kept": LIGHT.kept, "pruned": LIGHT.pruned}
    parts = []
    for flat, role in enumerate(selection.roles().tolist()):
        layer, head = head_of(flat, heads)
        x, y = left + head * cell, top + layer * cell
        parts.append(f'<rect x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}" fill="{fills[role]}"/>')
        if role == "pruned":
            a, b = 0.28 * cell, 0.68 * cell
            parts.append(
                f'<path d="M{x + a:.1f} {y + a:.1f}L{x + b:.1f} {y + b:.1f}M{x + b:.1f} {y + a:.1f}L{x + a:.1f} '
                f'{y + b:.1f}" stroke="#fff" stroke-width="1.5"/>'
            )
        elif role == "protected":
            centre = f'cx="{x + (cell - 1) / 2}" cy="{y + (cell - 1) / 2}"'
            parts.append(f'<circle {centre} r="{cell / 8:.1f}" fill="#fff" opacity="0.75"/>')
    step = max(1, math.ceil(layers / 15))
    parts += [
        _text(left - 6, top + layer * cell + 0.75 * cell, str(layer), anchor="end") for layer in range(0, layers, step)
    ]
    step = max(1, math.ceil(heads / 15))
    parts += [
        _text(left + (head + 0.5) * cell, top + layers * cell + 14, str(head), anchor="middle")
        for head in range(0, heads, step)
    ]
    parts += [_text(0, 12, "layer ↓, head →")]
    words = f"Map of heads: {len(selection.pruned)} pruned, {len(selection.protected)} protected"
    return _svg(left + heads * cell + 10, top + layers * cell + 24, parts, words)


def intervals_svg(rows: Sequence[tuple[str, Estimate, Estimate]], words: str) -> str:
    """Each row a name with a number before and after and their 95 % intervals, on one scale."""
    ends = [end for _, *pair in rows for e in pair for end in (e.value, e.low, e.high) if math.isfinite(end)]
    if not ends:
        return ""
    low, high = min(ends), max(ends)
    pad = 0.05 * (high - low or abs(high) or 1.0)
    low, high = low - pad, high + pad

    def at(value: float) -> float:
        return LABELS + (WIDTH - LABELS - 20) * (value - low) / (high - low)

    parts, y = [], 14.0
    for name, before, after in rows:
        parts.append(_text(LABELS - 8, y + 10, name, anchor="end"))
        for estimate, colour, shift in ((before, LIGHT.before, 0), (after, LIGHT.pruned, 12)):
            if not math.isfinite(estimate.value):
                continue
            x, line = at(estimate.value), y + shift
            if math.isfinite(estimate.low):
                path = f"M{at(estimate.low):.1f} {line}H{at(estimate.high):.1f}"
                parts.append(f'<path d="{path}" stroke="{colour}" stroke-width="2"/>')
            tip = f"{format_number(estimate.value, estimate.se)} ({format_interval(estimate.low, estimate.high)})"
            parts.append(
                f'<circle cx="{x:.1f}" cy="{line}" r="4" fill="{colour}"><title>{escape(tip)}</title></circle>'
            )
        y += 34
    ticks = [low + pad, (low + high) / 2, high - pad]
    parts.append(f'<path d="M{LABELS} {y}H{WIDTH - 20}" stroke="{LIGHT.grid}"/>')
    parts += [_text(at(tick), y + 14, format_number(tick, (high - low) / 20), anchor="middle") for tick in ticks]
    return _svg(WIDTH, y + 22, parts, words)


def _text(x: float, y: float, words: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(width: float, height: float, parts: Sequence[str], words: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" aria-label="{escape(words)}">'
        + "".join(parts)
        + "</svg>"
    )
