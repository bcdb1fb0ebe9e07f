"""Data shown in markdown: names from files and studies are text, never markup."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&@/])")


def plain(text: object) -> str:
    """`text` escaped so that streamlit's markdown shows it as it is, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(str(text).split()))
