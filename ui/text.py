"""Data shown in markdown: names from files and studies are text, never markup."""

from __future__ import annotations

import re

from fasp_core.words.numbers import axis_label
from fasp_core.words.unlinked import unlinked

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&@/])")


def plain(text: object) -> str:
    """`text` escaped so that streamlit's markdown shows it as it is, on one line."""
    return _MARKUP.sub(r"\\\1", unlinked(" ".join(str(text).split())))


def axis_text(axis: str) -> str:
    """The name of an axis as markdown."""
    return plain(axis_label(axis))
