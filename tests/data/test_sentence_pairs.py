"""The built-in sentence pairs, facts and passages keep their rules; bad tables are named."""

from __future__ import annotations

import pandas as pd
import pytest

from fasp_core.data.articles import load_text
from fasp_core.data.pair_files import load_sentence_pairs
from fasp_core.data.passages import MAX_WORDS, MIN_WORDS, passages
from fasp_core.data.prompts import load_prompts
from fasp_core.data.sentence_pairs import COLUMNS, SentencePairs, load_facts
from fasp_core.errors import InputError


def test_the_built_in_pairs_are_balanced():
    pairs = load_sentence_pairs()
    frame = pairs.frame
    assert pairs.axes == list(load_prompts().axes)
    assert (frame.groupby(["axis", "split"]).size() == 24).all()
    endings = frame.apply(lambda row: common_end(row["more"], row["less"]), axis=1)
    assert (endings.str.split().str.len() >= 2).all()  # what is scored
    assert not pd.DataFrame({"axis": frame["axis"], "ending": endings, "more": frame["more"]}).duplicated().any()
    groups = pd.DataFrame(
        {
            side: [row[side].removesuffix(e).strip() for (_, row), e in zip(frame.iterrows(), endings, strict=True)]
            for side in ("more", "less")
        }
    )
    for _, rows in groups.assign(axis=frame["axis"], split=frame["split"]).groupby(["axis", "split"]):
        # Each contrast is there as often in the one direction as in the other.
        there = rows.groupby(["more", "less"]).size()
        assert all(there[a, b] == there[b, a] for a, b in there.index)


def common_end(one: str, other: str) -> str:
    words = []
    for a, b in zip(reversed(one.split()), reversed(other.split()), strict=False):
        if a != b:
            break
        words.insert(0, a)
    return " ".join(words)


def test_facts_have_as_many_of_either_pronoun():
    frame = load_facts().frame
    for _, rows in frame.groupby("split"):
        assert len(rows) == 24
        assert rows["more"].str.endswith(" his").sum() == rows["more"].str.endswith(" her").sum() == 12
    assert (frame["more"].str[:-4] == frame["less"].str[:-4]).all()
    assert "The queen put on her" in set(frame["more"])


def test_passages_ask_for_the_last_words_of_sentences():
    text = "= T =\n\nOne two three four five six seven eight nine ten eleven. Then it was red! No 3.5 of it. And on"
    found = passages("test", pd.DataFrame({"split": ["test", "valid"], "text": [text, "Short. Text."]}))
    assert [[passage.text[a:b] for a, b in passage.asked] for passage in found] == [["eleven", "red", "it"]]
    assert found[0].text.endswith("of it.")
    assert passages("valid", pd.DataFrame({"split": ["valid"], "text": ["Short. Text."]})) == []


def test_the_built_in_passages_are_many_and_of_their_split():
    texts = {split: " ".join(load_text().select(split).frame["text"]) for split in ("valid", "test")}
    for split, other in (("valid", "test"), ("test", "valid")):
        found = passages(split)
        assert len(found) >= 40
        assert sum(len(passage.asked) for passage in found) >= 100
        for passage in found:
            assert passage.text in texts[split]
            assert passage.text not in texts[other]
            assert all(MIN_WORDS <= len(passage.text[:a].split()) <= MAX_WORDS for a, _ in passage.asked)
    with pytest.raises(InputError, match="unknown split"):
        passages("train")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a", "valid", "u", "x", "x", ""), "row 1: both sentences are the same"),
        (("a b", "valid", "u", "x", "y", ""), "row 1: 'a b' cannot name an axis"),
        (("a", "train", "u", "x", "y", ""), "row 1: unknown split 'train'"),
        (("a", "valid", "u", " ", "y", ""), "row 1: a sentence is blank"),
        (("a", "valid", "u", "x", "y", "z"), "some rows have an unrelated sentence"),
    ],
)
def test_bad_tables_are_named(row, message):
    rows = [("a", "valid", "u", "more", "less", ""), row]
    with pytest.raises(InputError, match=message):
        SentencePairs("made", "whole", pd.DataFrame(rows, columns=list(COLUMNS)))
