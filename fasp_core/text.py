"""Text for perplexity: encyclopedic articles, split by article into valid and test.

The text is a UTF-8 file. If it has lines such as ` = Title = ` (WikiText), an article runs from one to the next and
deeper headings (` = = Part = = `) stay in the text; otherwise blank lines separate articles. Articles take turns, the
first is `valid`, the second `test`, and so on.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from .data import PACKAGED_ARTICLES, SPLITS, check_split, checked_frame, frame_fingerprint
from .errors import InputError

COLUMNS = {"article": str, "split": str, "text": str}
HEADING = re.compile(r"^[ \t]*= ([^=\n]+) =[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class TextSet:
    """A checked table of articles; `frame` holds one row per article: article (its title), split, text.

    Raises InputError, naming the row, for a frame that is not a text set (see `checked_frame`) or a repeated title.
    """

    name: str
    frame: pd.DataFrame

    def __post_init__(self) -> None:
        frame = checked_frame(self.frame, COLUMNS, what=f"text '{self.name}'")
        repeated = frame.duplicated("article")
        if repeated.any():
            row = int(repeated.idxmax())
            raise InputError(f"text '{self.name}', row {row}: article '{frame.loc[row, 'article']}' is there twice")
        object.__setattr__(self, "frame", frame)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the articles in their order; the name does not count."""
        return frame_fingerprint(self.frame)

    def select(self, split: str) -> TextSet:
        """The articles of one split; raises InputError for an unknown one, or where it has no article."""
        check_split(split)
        chosen = self.frame[self.frame["split"] == split]
        if chosen.empty:
            raise InputError(f"text '{self.name}' has no {split} article; give it at least two articles")
        return TextSet(self.name, chosen)


def load_text(source: str | Path = "builtin") -> TextSet:
    """The articles of "builtin", written for this project (docs/prompts.md), or of a UTF-8 text file.

    Raises InputError for a file that is missing, is not UTF-8, or holds fewer than two articles.
    """
    path = PACKAGED_ARTICLES if source == "builtin" else Path(source)
    articles = _articles(_read(path))
    if len(articles) < len(SPLITS):
        raise InputError(
            f"text file '{path}' holds {len(articles)} of the at least two articles that valid and test need; "
            "separate them by blank lines or by lines such as '= Title ='"
        )
    rows = [(title, SPLITS[i % len(SPLITS)], text) for i, (title, text) in enumerate(articles)]
    return TextSet("builtin" if source == "builtin" else path.name, pd.DataFrame(rows, columns=list(COLUMNS)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"text file '{path}' is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(f"cannot read text '{path}': {reason}; give 'builtin' or a UTF-8 text file") from error


def _articles(text: str) -> list[tuple[str, str]]:
    """(title, text) of every article that has text; a title met again gets a number."""
    opening, *titled = HEADING.split(text)  # text before the first heading, then title, text, title, text, …
    if titled:
        found = [("", opening), *zip(titled[::2], titled[1::2], strict=True)]
    else:
        found = [("", block) for block in re.split(r"\n[ \t]*\n", opening)]
    seen: Counter[str] = Counter()
    articles = []
    for title, body in found:
        if not body.strip():
            continue
        title = title.strip() or "article"
        seen[title] += 1
        articles.append((title if seen[title] == 1 else f"{title} ({seen[title]})", body.strip()))
    return articles
