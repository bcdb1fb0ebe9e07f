"""The parts of the view (see `ui.view`) and how an address holds them. A new part is a new row of `PARTS`.

An address holds the parts that are not at their default. So a bare address is the default view, and every view has
one address. Reading is the inverse of writing; a part that cannot be read is at its default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fasp_core.head import head_text, heads_text, parse_head, parse_heads
from fasp_core.models.compensation_choice import COMPENSATIONS
from fasp_core.selection.rules import METHODS


@dataclass(frozen=True)
class Part:
    """One part: its value when nothing was chosen, and how it is read from an address and written there.

    `read` raises ValueError for a text that means nothing.
    """

    default: Any
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str


def read_view(address: Mapping[str, str]) -> dict[str, Any]:
    """The view that an address means: a part that is not in it, or cannot be read, is at its default."""
    return {name: _read(part, address.get(name)) for name, part in PARTS.items()}


def write_view(view: Mapping[str, Any]) -> dict[str, str]:
    """The address of a view, the inverse of `read_view`."""
    return {name: part.write(view[name]) for name, part in PARTS.items() if view[name] != part.default}


def _read(part: Part, text: str | None) -> Any:
    try:
        return part.default if text is None else part.read(text)
    except ValueError:
        return part.default


def read_share(text: str) -> float:
    """A share in [0, 1] with two decimals, such as γ."""
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(text)
    return round(value, 2)


def write_share(value: float) -> str:
    """The inverse of `read_share`."""
    return f"{value:.2f}"


def read_flag(text: str) -> bool:
    """Yes or no, `1` or `0`."""
    return {"1": True, "0": False}[one_of("0", "1")(text)]


def write_flag(value: bool) -> str:
    """The inverse of `read_flag`."""
    return "1" if value else "0"


def read_count(text: str) -> int:
    """A whole number from 1."""
    if not (text.isdecimal() and 0 < int(text) < 10**9):
        raise ValueError(text)
    return int(text)


def one_of(*allowed: str) -> Callable[[str], str]:
    """A reader of one of some words."""

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return read


def read_fine_share(text: str) -> float:
    """A share in [0, 1] with up to four decimals, such as α where it was typed as a number of heads."""
    read_share(text)
    return round(float(text), 4)


def write_fine_share(value: float) -> str:
    """The inverse of `read_fine_share`; two decimals where they do."""
    return f"{value:.2f}" if round(value, 2) == value else f"{value:.4f}"


def read_seed(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdecimal() or len(text) > 7:
        raise ValueError(text)
    return int(text)


def read_weights(text: str) -> tuple[tuple[str, float], ...]:
    """Weights by axis: `religion:1~gender_and_sex:0.5`; no name of an axis has these characters."""
    weights = []
    for part in text.split("~"):
        axis, weight = part.split(":")
        if not (axis and math.isfinite(float(weight)) and float(weight) >= 0):
            raise ValueError(text)
        weights.append((axis, float(weight)))
    return tuple(weights)


def write_weights(weights: tuple[tuple[str, float], ...]) -> str:
    """The inverse of `read_weights`."""
    return "~".join(f"{axis}:{weight:g}" for axis, weight in weights)


PARTS: dict[str, Part] = {
    "study": Part(None, str),  # None: the study named default, else the first
    "axis": Part(None, str),  # None: the one with the clearest bias
    "metric": Part(None, one_of("toxicity", "likelihood")),  # None: the one with the clearest bias
    "gamma": Part(0.3, read_share, write_share),
    "alpha": Part(0.1, read_fine_share, write_fine_share),
    "method": Part("fasp", one_of(*METHODS)),
    "weights": Part(None, read_weights, write_weights),  # of fasp_multi; None: all axes alike
    "seed": Part(0, read_seed),  # of random
    "compensate": Part("none", one_of(*COMPENSATIONS)),  # what takes the place of pruned heads
    "heads": Part(None, parse_heads, heads_text),  # a set made by hand; None: what the method chooses
    "anyway": Part(False, read_flag, write_flag),  # whether to select by a bias that is not clear
    "limit": Part(0.05, read_share, write_share),  # the perplexity budget: the rise that one accepts
    "head": Part(None, parse_head, head_text),  # None: the strongest one (see `strongest_head`)
    "chosen": Part((), parse_heads, heads_text),  # several heads at once, on the Heads page
    "several": Part(False, read_flag, write_flag),  # whether clicking and dragging on a map chooses several
    "show": Part("all", one_of("all", "clear", "protected", "unprotected", "pruned")),  # rows of the table of heads
    "correlation": Part("pearson", one_of("pearson", "spearman")),
    "among": Part("all", one_of("all", "unprotected")),  # heads that are correlated
    "corrected": Part(False, read_flag, write_flag),  # correlations, for attenuation
    "beside": Part("", str),  # a second study, next to the first
    "texts": Part(None, one_of("study", "pairs")),  # None: pairs where the chosen set has been measured
    "group": Part("", str),
    "least": Part(0.0, read_share, write_share),  # toxicity of the texts that are shown
    "search": Part("", str),
    "order": Part("toxic", one_of("toxic", "mild", "drawn")),
    "from": Part(1, read_count),  # page of texts
    "set": Part(None, str),  # a measured set of heads, as `SPLIT:HEADS`
    "image": Part("svg", one_of("svg", "png")),  # what charts are saved as
    "comparison": Part(None, str),  # None: the newest
}
