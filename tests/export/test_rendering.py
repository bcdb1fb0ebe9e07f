"""Text from files and people stays text in HTML and in Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from markdown_it import MarkdownIt

from fasp_core.export.rendering import code_span, escape_markdown, render
from fasp_core.words.unlinked import JOINER

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" `*_[]<>|#~&!$-+.1"), max_size=30)


def shown(markdown: str) -> tuple[str, list[str]]:
    """The text that a reader of Markdown sees, and the names of the marks it took for markup."""
    text, kinds = "", []
    for token in MARKDOWN.parse(markdown):
        for part in token.children or []:
            text += part.content
            kinds += [] if part.type in ("text", "text_special") else [part.type]
        kinds += [] if token.type in ("paragraph_open", "paragraph_close", "inline") else [token.type]
    return text, kinds


@given(PRINTABLE)
def test_escaped_text_is_read_back_as_it_was(text):
    line = " ".join(text.split())
    text, kinds = shown(escape_markdown(text))
    assert (text.replace(JOINER, ""), kinds) == (line, [])


@given(PRINTABLE.filter(lambda text: text.strip()))
def test_a_code_span_holds_any_text(text):
    line = " ".join(text.split())
    assert shown(code_span(text)) == (line, ["code_inline"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gender_and_sex", "gender_and_sex"),
        ("_x_", r"\_x\_"),
        ("a|b", r"a\|b"),
        ("<script>", r"\<script\>"),
        ("![x](http://y)", rf"\!\[x\](http:{JOINER}//y)"),
        ("see www.y.org", f"see www{JOINER}.y.org"),
        ("me@y.org", f"me{JOINER}@y.org"),
        ("# x\n\n# y", r"\# x \# y"),
        ("- x", r"\- x"),
        ("12. x", r"12\. x"),
        ("0.25", "0.25"),
        ("+1.5", "+1.5"),
    ],
)
def test_only_what_would_be_markup_is_escaped(text, expected):
    assert escape_markdown(text) == expected


def test_a_template_that_lacks_a_value_is_an_error_and_not_a_gap():
    with pytest.raises(UndefinedError):
        render("report.html", title="t")
