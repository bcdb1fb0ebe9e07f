"""Templates filled in. Jinja2 escapes HTML; Markdown is escaped by the rule in this file, because jinja2 has none.

Every value is escaped as text from files or people, unless it is marked as safe: `Markup` in HTML; in Markdown, what
the filters `code` (a code span) and `verbatim` (our own lines) return.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fasp_core.words.unlinked import unlinked

TEMPLATES = Path(__file__).with_name("templates")
# What Markdown reads as markup anywhere, and at the start of a line. `_` inside a word is no markup.
_ANYWHERE = re.compile(r"([\\`*\[\]<>|#~&!$]|(?<![^\W_])_|_(?![^\W_]))")
_AT_START = re.compile(r"^(?:([-+])(?=[-\s]|$)|(\d+)([.)])(?=\s|$))")


class Markdown(str):
    """Markdown that is not escaped again."""


def render(template: str, **values: Any) -> str:
    """The template of that name, filled in; raises jinja2's UndefinedError for a value that it lacks."""
    return _environment(template.endswith(".html")).get_template(template).render(values)


def escape_markdown(text: object) -> Markdown:
    """`text` so that Markdown shows it as it is, on one line: `a|b` becomes `a\\|b`."""
    line = _ANYWHERE.sub(r"\\\1", unlinked(" ".join(str(text).split())))
    return Markdown(_AT_START.sub(lambda found: f"{found[2] or ''}\\{found[1] or found[3]}", line))


def code_span(text: object) -> Markdown:
    """`text` in a code span whose backticks are more than any in a row inside it."""
    line = " ".join(str(text).split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    air = " " if line.startswith("`") or line.endswith("`") else ""
    return Markdown(f"{ticks}{air}{line}{air}{ticks}")


@cache
def _environment(html: bool) -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=html,
        finalize=None if html else lambda value: value if isinstance(value, Markdown) else escape_markdown(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"code": code_span, "verbatim": Markdown}
    return made
