"""docs/limits.md is the table of fasp_core/limits.py, name by name."""

from __future__ import annotations

import re

from fasp_core import limits
from fasp_core.files.paths import PROJECT

ROW = re.compile(r"^\| `([A-Z_]+)` \| ([\d,]+)( MiB)?[^|]* \|", re.M)


def test_the_table_is_that_of_the_code():
    text = (PROJECT / "docs" / "limits.md").read_text("utf-8")
    told = {name: int(n.replace(",", "")) * (limits.MIB if mib else 1) for name, n, mib in ROW.findall(text)}
    assert told == {name: value for name, value in vars(limits).items() if name.isupper() and name != "MIB"}


def test_every_limit_is_used():
    code = "".join(
        path.read_text("utf-8")
        for folder in ("fasp_core", "ui", "pages")
        for path in (PROJECT / folder).rglob("*.py")
        if path.name != "limits.py"
    )
    assert [
        name for name in vars(limits) if name.isupper() and name not in ("MIB", *re.findall(r"[A-Z_]+", code))
    ] == []
