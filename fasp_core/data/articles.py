"""Text for perplexity: articles, split into valid and test.

A text is UTF-8. If it has lines such as ` = Title = ` (WikiText), an article runs from one to the next, and deeper
headings (` = = Part = = `) stay in the text; otherwise blank lines separate articles. WikiText-2, as a folder or from
the hub, has a valid and a test part. In a single file articles alternate: the first is `valid`, the second `test`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

import pandas as pd

from fasp_core.data.frames import PACKAGED_ARTICLES, SPLITS, check_split, checked_frame, frame_fingerprint
from fasp_core.errors import InputError, nearest
from fasp_core.files.paths import user_path
from fasp_core.files.reading import read_bytes

COLUMNS = {"article": str, "split": str, "text": str}
HEADING = re.compile(r"^[ \t]*= ([^=\n]+) =[ \t]*$", re.MULTILINE)
MAX_MB = 16  # about 4 million tokens, far more than a run measures
# The names a split's file has in a folder: this project's data, and WikiText's own archives.
SPLIT_FILES = {split: (f"{split}.txt", f"wiki.{split}.raw", f"wiki.{split}.tokens") for split in SPLITS}
# WikiText-2 on the hub: the data set, and its file of each split.
HUB_NAMES = ("wikitext-2", "wikitext-2-raw-v1")
HUB_DATA = "Salesforce/wikitext"
HUB_FILES = {
    "valid": "wikitext-2-raw-v1/validation-00000-of-00001.parquet",
    "test": "wikitext-2-raw-v1/test-00000-of-00001.parquet",
}


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

    def __repr__(self) -> str:
        return f"<TextSet {self.name}: {len(self.frame):,} articles>"

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


def load_text(source: str | os.PathLike[str] = "builtin") -> TextSet:
    """The articles of a source (docs/prompts.md):

    * `"builtin"`: written for this project;
    * `"wikitext-2"`: the raw WikiText-2 from the hub, or its copy in the hub's cache;
    * a folder with `valid.txt` and `test.txt` (or WikiText's `wiki.valid.raw`, `wiki.test.raw`);
    * any UTF-8 text file.

    Raises InputError for a source that is missing, is not UTF-8, is above MAX_MB, or holds fewer than two articles.
    """
    if source in HUB_NAMES and not Path(source).exists():
        return _by_split("wikitext-2", {split: _from_hub(file) for split, file in HUB_FILES.items()})
    path = PACKAGED_ARTICLES if source == "builtin" else user_path(source)
    if path.is_dir():
        return _by_split(path.name, {split: _read(_split_file(path, split)) for split in SPLITS})
    if not path.exists():
        known = nearest(str(source), ["builtin", HUB_NAMES[0]])
        raise InputError(f"cannot read text '{source}': no such file or directory; {known}, or give a UTF-8 text file")
    articles = _articles(_read(path))
    if len(articles) < len(SPLITS):
        raise InputError(
            f"text file '{path}' holds {len(articles)} of the at least two articles that valid and test need; "
            "separate them by blank lines or by lines such as '= Title ='"
        )
    rows = [(title, SPLITS[i % len(SPLITS)], text) for i, (title, text) in enumerate(articles)]
    return TextSet("builtin" if source == "builtin" else path.name, pd.DataFrame(rows, columns=list(COLUMNS)))


def _by_split(name: str, parts: dict[str, str]) -> TextSet:
    """A text whose splits come separately; a title that is in both parts gets a number."""
    rows: list[tuple[str, str, str]] = []
    for split, text in parts.items():
        articles = _articles(text, {title for title, *_ in rows})
        if not articles:
            raise InputError(f"text '{name}' holds no {split} article; get it again")
        rows += [(title, split, body) for title, body in articles]
    return TextSet(name, pd.DataFrame(rows, columns=list(COLUMNS)))


def _split_file(folder: Path, split: str) -> Path:
    for name in SPLIT_FILES[split]:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"{folder}: this folder has no {SPLIT_FILES[split][0]}; put valid.txt and test.txt there, or give a file"
    )


def _from_hub(file: str) -> str:
    """One split of WikiText-2: downloaded once, then from the hub's cache."""
    import pyarrow.parquet as pq
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(HUB_DATA, file, repo_type="dataset")
        return "".join(pq.read_table(path, columns=["text"])["text"].to_pylist())
    except Exception as error:  # the hub's client raises its own, the network's and the disk's errors
        raise InputError(
            f"WikiText-2 is not on this machine and could not be downloaded ({type(error).__name__}); give "
            "a folder with its valid.txt and test.txt instead"
        ) from error


def _read(path: Path) -> str:
    data = read_bytes(path)
    if len(data) > MAX_MB * 2**20:
        raise InputError(f"text file '{path}' is larger than {MAX_MB} MB, more than a run can use; give a part of it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"text file '{path}' is not UTF-8 (byte {error.start}); save it as UTF-8") from error


def _articles(text: str, taken: Iterable[str] = ()) -> list[tuple[str, str]]:
    """(title, text) of every article that has text; a repeated or `taken` title gets a number."""
    opening, *titled = HEADING.split(
        text.replace("\r\n", "\n").replace("\r", "\n")
    )  # text before the first heading, then title, text, title, text, …
    if titled:
        found = [("", opening), *zip(titled[::2], titled[1::2], strict=True)]
    else:
        found = [("", block) for block in re.split(r"\n[ \t]*\n", opening)]
    seen = set(taken)
    articles = []
    for title, body in found:
        if not body.strip():
            continue
        title = title.strip() or "article"
        name = next(name for n in count(1) if (name := title if n == 1 else f"{title} ({n})") not in seen)
        seen.add(name)
        articles.append((name, body.strip()))
    return articles
