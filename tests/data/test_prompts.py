"""The built-in prompts are what the documents promise, and nothing but a sound prompt set gets through."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasp_core.data import PACKAGED_PROMPTS
from fasp_core.errors import InputError
from fasp_core.prompts import COLUMNS, PromptSet, load_prompts

AXES = ("gender_and_sex", "race_ethnicity", "religion", "sexual_orientation", "nationality")

# Words whose sound and first letter disagree, the only ones among the descriptors.
CONSONANT_SOUND = ("european",)


@pytest.fixture(scope="module")
def builtin() -> PromptSet:
    return load_prompts()


def small_frame(**changes: list) -> pd.DataFrame:
    """Two groups with two prompts each; whole columns can be replaced."""
    columns = {
        "prompt_id": [0, 1, 2, 3],
        "axis": ["pets"] * 4,
        "group": ["cats", "cats", "cats", "dogs"],
        "descriptor": ["tabby", "tabby", "manx", "poodle"],
        "template": ["{singular} ran", "see {singular}", "{singular} ran", "{singular} ran"],
        "prompt": ["a tabby ran", "see a tabby", "a manx ran", "a poodle ran"],
        "split": ["valid", "valid", "test", "valid"],
    }
    return pd.DataFrame(columns | changes)


def test_builtin_has_the_axes_of_the_paper_and_enough_descriptors(builtin):
    assert builtin.axes == AXES
    frame = builtin.frame
    assert (frame.groupby("axis")["template"].nunique() >= 10).all()
    assert frame[frame["axis"] == "gender_and_sex"]["descriptor"].nunique() >= 40
    assert (frame.groupby("axis")["descriptor"].nunique() >= 24).all()
    assert frame.groupby("axis")["group"].nunique().between(4, 6).all()
    assert (frame.groupby(["axis", "group"])["descriptor"].nunique() >= 6).all()


def test_builtin_counts_agree_with_the_document(builtin):
    assert len(builtin.frame) == 3600
    counts = builtin.counts()
    assert len(counts) == 5 * 6 * 2
    assert set(counts["prompts"]) == {60}
    assert set(counts["descriptors"]) == {5}


def test_builtin_split_is_by_descriptor_with_every_group_in_both(builtin):
    frame = builtin.frame
    assert (frame.groupby(["axis", "group"])["split"].nunique() == 2).all()
    assert (frame.groupby(["axis", "descriptor"])["split"].nunique() == 1).all()
    valid, test = (set(frame.loc[frame["split"] == split, "prompt"]) for split in ("valid", "test"))
    assert not valid & test


def test_builtin_descriptor_belongs_to_one_group(builtin):
    assert (builtin.frame.groupby(["axis", "descriptor"])["group"].nunique() == 1).all()


def test_no_descriptor_is_written_twice_in_the_file():
    """json keeps only the last of two equal keys, so a repeat would go unnoticed."""

    def no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len(dict(pairs)) == len(pairs), [key for key, _ in pairs]
        return dict(pairs)

    json.loads(PACKAGED_PROMPTS.read_text(encoding="utf-8"), object_pairs_hook=no_repeats)


def test_every_template_names_the_descriptor_once():
    templates = json.loads(PACKAGED_PROMPTS.read_text(encoding="utf-8"))["templates"]
    for template in templates:
        assert len(re.findall(r"\{(singular|plural)\}", template)) == 1
        assert template.count("{") == template.count("}") == 1


def test_builtin_prompts_are_well_formed(builtin):
    for prompt in builtin.frame["prompt"]:
        assert prompt == prompt.strip()
        assert prompt[0].isupper()
        assert not prompt.endswith((".", "!", "?"))
        assert not re.search(r"\s\s|[{}\t\n]|\s[,.]", prompt)
        assert prompt.isascii()
        assert 5 <= len(prompt.split()) <= 14


def test_builtin_articles_agree_with_the_next_word(builtin):
    for prompt in builtin.frame["prompt"]:
        for article, word in re.findall(r"\b(an?) (\w+)", prompt, flags=re.IGNORECASE):
            vowel = word[0].lower() in "aeiou" and not word.lower().startswith(CONSONANT_SOUND)
            assert article.lower() == ("an" if vowel else "a"), prompt


def test_builtin_plurals_carry_no_article_and_singulars_do():
    axes = json.loads(PACKAGED_PROMPTS.read_text(encoding="utf-8"))["axes"]
    for groups in axes.values():
        for splits in groups.values():
            for singular, plural in (pair for d in splits.values() for pair in d.items()):
                assert re.match(r"(an?|someone) ", singular)
                assert not re.match(r"(an?|the|someone) ", plural)
                assert "people" in plural or re.search(r"(men|s)\b", plural), plural


def test_ids_number_the_rows_and_survive_selection(builtin):
    assert builtin.frame["prompt_id"].tolist() == list(range(3600))
    part = builtin.select(axes=["religion"], split="test")
    assert set(part.frame["axis"]) == {"religion"}
    assert set(part.frame["split"]) == {"test"}
    merged = part.frame.merge(builtin.frame, on="prompt_id", suffixes=("", "_whole"))
    assert len(merged) == 360
    assert (merged["prompt"] == merged["prompt_whole"]).all()


def test_select_takes_one_name_or_many_and_everything_by_default(builtin):
    assert builtin.select().fingerprint == builtin.fingerprint
    assert builtin.select("religion").fingerprint == builtin.select(["religion"]).fingerprint
    assert builtin.select(["nationality", "religion"]).axes == ("religion", "nationality")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axes": ["religon"]}, "did you mean 'religion'"),
        ({"split": "train"}, "unknown split 'train'"),
        ({"axes": []}, "has no prompts"),
    ],
)
def test_select_refuses_what_is_not_there(builtin, arguments, message):
    with pytest.raises(InputError, match=message):
        builtin.select(**arguments)


def test_select_refuses_a_split_that_leaves_one_group():
    with pytest.raises(InputError, match="the one group 'cats'"):
        PromptSet("pets", small_frame()).select(split="test")


def test_shares_by_hand():
    shares = PromptSet("pets", small_frame()).group_shares("pets")
    assert shares.to_dict() == {"cats": 0.75, "dogs": 0.25}


def test_shares_of_every_axis_sum_to_one(builtin):
    for axis in AXES:
        assert builtin.group_shares(axis).sum() == pytest.approx(1, abs=1e-12)
    with pytest.raises(InputError, match="unknown axis 'gender'"):
        builtin.group_shares("gender")


def test_unknown_source_names_the_known_ones():
    with pytest.raises(InputError, match="did you mean 'builtin'"):
        load_prompts("buildin")


def test_fingerprint_depends_on_content_alone():
    whole = PromptSet("a", small_frame())
    shuffled_columns = small_frame()[list(reversed(COLUMNS))].set_index(pd.Index([9, 8, 7, 6])).astype(object)
    assert re.fullmatch(r"[0-9a-f]{16}", whole.fingerprint)
    assert PromptSet("b", shuffled_columns).fingerprint == whole.fingerprint
    assert PromptSet("a", small_frame().iloc[::-1]).fingerprint != whole.fingerprint


def test_fingerprint_survives_parquet(builtin, tmp_path):
    """A study keeps its own copy of the prompts in this format."""
    builtin.frame.to_parquet(tmp_path / "prompts.parquet")
    assert PromptSet("copy", pd.read_parquet(tmp_path / "prompts.parquet")).fingerprint == builtin.fingerprint


@given(st.sampled_from(list(COLUMNS)), st.integers(0, 3))
def test_fingerprint_changes_with_any_cell(column, row):
    other = {"prompt_id": 77, "split": "test"}.get(column, "another")
    frame = small_frame()
    if column == "axis":  # a lone axis would have one group
        frame["axis"] = "another"
    elif column == "split":
        frame.loc[row, column] = "test" if frame.loc[row, column] == "valid" else "valid"
    else:
        frame.loc[row, column] = other
    assert PromptSet("a", frame).fingerprint != PromptSet("a", small_frame()).fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt_id": [0, 1, 1, 3]}, "row 2: the prompt_id '1' repeats"),
        ({"prompt_id": [0, 1, 2.5, 3]}, "row 0: 'prompt_id' is 0.0, not a whole number"),
        ({"prompt_id": [True, False, True, False]}, "not a whole number"),
        ({"prompt": ["a tabby ran", "a tabby ran", "x", "y"]}, "row 1: the prompt 'a tabby ran' repeats"),
        ({"prompt": ["a", "b", " \n", "d"]}, "row 2: 'prompt' is blank"),
        ({"group": ["cats", "cats", float("nan"), "dogs"]}, "row 2: 'group' is nan, not text"),
        ({"descriptor": ["tabby", None, "manx", "poodle"]}, "row 1: 'descriptor' is"),
        ({"axis": ["pets", "pets", "pets", 5]}, "row 3: 'axis' is 5, not text"),
        ({"group": ["cats"] * 4}, "row 0: axis 'pets' has the one group 'cats'"),
        ({"split": ["valid", "tets", "test", "valid"]}, "row 1: unknown split 'tets'; did you mean 'test'"),
        ({"toxicity": [0, 0, 0, 0]}, "unknown column 'toxicity'"),
    ],
)
def test_unsound_frames_are_refused_in_one_line(changes, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        PromptSet("pets", small_frame(**changes))
    assert "\n" not in str(caught.value)


def test_missing_column_and_empty_frame_are_refused():
    with pytest.raises(InputError, match="lacks the column 'group'"):
        PromptSet("pets", small_frame().drop(columns="group"))
    with pytest.raises(InputError, match="'pets' is empty"):
        PromptSet("pets", small_frame().iloc[:0])


def test_the_given_frame_is_copied():
    given_frame = small_frame()
    prompts = PromptSet("pets", given_frame)
    given_frame.loc[0, "prompt"] = "changed afterwards"
    assert prompts.frame.loc[0, "prompt"] == "a tabby ran"
