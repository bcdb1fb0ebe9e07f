"""The built-in articles are what the documents promise, and any UTF-8 text file can take their place."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.data.articles import TextSet, load_text
from fasp_core.errors import InputError

WIKITEXT = Path(__file__).parents[3] / "shared" / "data" / "wikitext-2" / "valid.txt"


@pytest.fixture(scope="module")
def builtin() -> TextSet:
    return load_text()


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "text.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def test_builtin_has_enough_words_and_half_of_them_in_each_split(builtin):
    counts = builtin.frame["text"].map(lambda text: len(text.split())).groupby(builtin.frame["split"]).sum()
    assert counts.sum() >= 21_000
    assert counts["valid"] == pytest.approx(counts["test"], rel=0.05)
    assert builtin.frame["split"].value_counts().to_dict() == {"valid": 34, "test": 34}


def test_builtin_articles_are_of_like_length(builtin):
    assert builtin.frame["text"].map(lambda text: len(text.split())).between(270, 340).all()


def test_no_builtin_article_or_paragraph_is_in_both_splits(builtin):
    valid, test = builtin.select("valid").frame, builtin.select("test").frame
    assert not set(valid["article"]) & set(test["article"])
    paragraphs = Counter(p for text in builtin.frame["text"] for p in text.split("\n") if p)
    assert set(paragraphs.values()) == {1}


def test_builtin_articles_share_no_long_phrase(builtin):
    homes: dict[tuple[str, ...], set[str]] = {}
    for article, text in zip(builtin.frame["article"], builtin.frame["text"], strict=True):
        sequence = words(text)
        for i in range(len(sequence) - 8):
            homes.setdefault(tuple(sequence[i : i + 9]), set()).add(article)
    assert [phrase for phrase, articles in homes.items() if len(articles) > 1] == []


def test_builtin_vocabulary_is_diverse(builtin):
    assert len({word for text in builtin.frame["text"] for word in words(text)}) > 3000


def test_builtin_text_is_clean(builtin):
    for text in builtin.frame["text"]:
        assert not re.search(r" {2}| \n|\n |\t| [,.;:]|= ", text)
        assert all(p.endswith(".") for p in text.split("\n\n"))


def test_headings_separate_articles_and_deeper_ones_stay(tmp_path):
    content = " = One = \n first \n = = Part = = \n more \n\n = Two ( 2 ) = \n second \n= Three =\nthird\n"
    text = load_text(write(tmp_path, content))
    assert text.name == "text.txt"
    assert text.frame.to_dict("records") == [
        {"article": "One", "split": "valid", "text": "first \n = = Part = = \n more"},
        {"article": "Two ( 2 )", "split": "test", "text": "second"},
        {"article": "Three", "split": "valid", "text": "third"},
    ]


def test_text_before_the_first_heading_and_repeated_titles_are_kept_apart(tmp_path):
    text = load_text(write(tmp_path, "opening\n= A =\nx\n= A =\ny\n= empty =\n"))
    assert text.frame["article"].tolist() == ["article", "A", "A (2)"]
    assert text.frame["text"].tolist() == ["opening", "x", "y"]


def test_blank_lines_separate_articles_where_there_are_no_headings(tmp_path):
    text = load_text(write(tmp_path, "\ufeffa\nb\r\n \r\nc = d\n\n\n\ne\n"))
    assert text.frame["text"].tolist() == ["a\nb", "c = d", "e"]
    assert text.frame["split"].tolist() == ["valid", "test", "valid"]


def test_wikitext_has_its_published_number_of_articles():
    """Merity et al. 2016, table 1: 60 articles in the validation part."""
    if not WIKITEXT.exists():
        pytest.skip("WikiText-2 is not at ../shared/data/wikitext-2")
    text = load_text(WIKITEXT)
    assert len(text.frame) == 60
    assert text.frame["article"].tolist()[:2] == ["Homarus gammarus", "Frank Headlam"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9 au lait\n\nmore", "is not UTF-8 (byte 3)"),
        (b"", "the file is empty (0 bytes)"),
        (b" \n\n \n", "holds 0 of"),
        (b"just one", "holds 1 of"),
        (b"= A =\n\n= B =\n", "holds 0 of"),
    ],
)
def test_unsound_files_are_refused_in_one_line(tmp_path, content, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_text(write(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file or directory; did you mean 'builtin'"):
        load_text("bultin")
    with pytest.raises(InputError, match=r"this folder has no valid\.txt"):
        load_text(tmp_path)


def test_fingerprint_depends_on_content_alone(builtin):
    frame = builtin.frame
    changed = frame.copy()
    changed.loc[3, "text"] += " One more sentence."
    assert re.fullmatch(r"[0-9a-f]{16}", builtin.fingerprint)
    assert TextSet("other name", frame[["text", "split", "article"]]).fingerprint == builtin.fingerprint
    assert TextSet("builtin", changed).fingerprint != builtin.fingerprint
    assert TextSet("builtin", frame.iloc[::-1]).fingerprint != builtin.fingerprint
    assert load_text().fingerprint == builtin.fingerprint


def test_unsound_frames_are_refused():
    with pytest.raises(InputError, match="row 1: article 'A' is there twice"):
        TextSet("t", pd.DataFrame({"article": ["A", "A"], "split": ["valid", "test"], "text": ["x", "y"]}))
    with pytest.raises(InputError, match="row 0: 'text' is blank"):
        TextSet("t", pd.DataFrame({"article": ["A"], "split": ["valid"], "text": [""]}))


def test_select_refuses_an_unknown_or_absent_split(builtin):
    with pytest.raises(InputError, match="unknown split 'validation'; did you mean 'valid'"):
        builtin.select("validation")
    with pytest.raises(InputError, match="has no test article"):
        builtin.select("valid").select("test")


def test_a_folder_says_the_splits_itself(shared_data, tmp_path):
    text = load_text(shared_data / "wikitext-2")
    assert text.name == "wikitext-2"
    parts = {split: load_text(shared_data / "wikitext-2" / f"{split}.txt") for split in ("valid", "test")}
    for split, part in parts.items():
        assert text.select(split).frame["text"].tolist() == part.frame["text"].tolist()
    for split, name in (("valid", "wiki.valid.raw"), ("test", "wiki.test.raw")):
        (tmp_path / name).write_text(f" = Same = \n {split} text\n")
    assert load_text(tmp_path).frame.to_dict("records") == [
        {"article": "Same", "split": "valid", "text": "valid text"},
        {"article": "Same (2)", "split": "test", "text": "test text"},
    ]
    (tmp_path / "wiki.test.raw").write_text("\n")
    with pytest.raises(InputError, match="holds no test article"):
        load_text(tmp_path)


def test_wikitext_from_the_hub(tmp_path, monkeypatch):
    """The hub keeps one line per row, line breaks included."""
    lines = {"validation": [" = A = \n", "", " one \n", " = B = \n", " two \n"], "test": [" = C = \n", " three \n"]}

    def download(repository, file, repo_type):
        part = file.removeprefix("wikitext-2-raw-v1/").split("-")[0]
        pd.DataFrame({"text": lines[part]}).to_parquet(tmp_path / f"{part}.parquet")
        return str(tmp_path / f"{part}.parquet")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    frame = load_text("wikitext-2").frame
    assert list(frame.itertuples(index=False, name=None)) == [
        ("A", "valid", "one"),
        ("B", "valid", "two"),
        ("C", "test", "three"),
    ]


def test_without_a_hub_there_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="could not be downloaded") as caught:
        load_text("wikitext-2")
    assert "\n" not in str(caught.value)


def test_a_file_beyond_what_a_run_can_use_is_refused(tmp_path):
    path = write(tmp_path, "a\n\nb")
    with path.open("ab") as file:
        file.truncate(17 * 2**20)
    with pytest.raises(InputError, match="larger than 16 MB"):
        load_text(path)
    with path.open("ab") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(InputError, match="larger than 64 MB"):
        load_text(path)


@given(st.binary(max_size=60) | st.text(st.sampled_from("= \n\rab"), max_size=60).map(str.encode))
def test_any_bytes_are_loaded_or_refused(content):
    with TemporaryDirectory() as folder:
        try:
            text = load_text(write(Path(folder), content))
        except InputError as error:
            text, refusal = None, str(error)
    if text is None:
        assert "\n" not in refusal
        assert "text.txt" in refusal
    else:
        assert set(text.frame["split"]) == {"valid", "test"}


def test_titles_that_look_numbered_stay_apart(tmp_path):
    text = load_text(write(tmp_path, "= A =\nx\n= A (2) =\ny\n= A =\nz\n"))
    assert text.frame["article"].tolist() == ["A", "A (2)", "A (3)"]
