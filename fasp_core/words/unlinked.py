"""Text whose addresses stay text: readers of Markdown take `http://…`, `www.…` and `a@b.c` for links by themselves."""

from __future__ import annotations

import re

JOINER = "\u2060"  # no width, no line break; between two characters it keeps them from being read as an address
_ADDRESS = re.compile(r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)|(?=@)|(?<=mailto)(?=:)|(?<=xmpp)(?=:)")


def unlinked(text: str) -> str:
    """`text` with a joiner inside whatever would become a link; it looks the same.

    >>> unlinked("a.b") == "a.b", len(unlinked("http://a.b")) - len("http://a.b")
    (True, 1)
    """
    return _ADDRESS.sub(JOINER, text)
