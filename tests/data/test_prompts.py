"""The built-in prompts are what the documents promise."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from fasp_core.data.frames import PACKAGED_PROMPTS
from fasp_core.data.prompt_set import PromptSet
from fasp_core.data.prompts import load_prompts
from fasp_core.errors import InputError

AXES = ("gender_and_sex", "race_ethnicity", "religion", "sexual_orientation", "nationality")

# Words whose sound and first letter disagree, the only ones among the descriptors.
CONSONANT_SOUND = ("european",)


@pytest.fixture(scope="module")
def builtin() -> PromptSet:
    return load_prompts()


def test_builtin_has_the_axes_of_the_paper_and_enough_descriptors(builtin):
    assert builtin.axes == AXES
    frame = builtin.frame
    assert (frame.groupby("axis")["template"].nunique() >= 10).all()
    assert frame[frame["axis"] == "gender_and_sex"]["descriptor"].nunique() >= 40
    assert (frame.groupby("axis")["descriptor"].nunique() >= 24).all()
    assert frame.groupby("axis")["group"].nunique().between(4, 6).all()
    assert (frame.groupby(["axis", "group"])["descriptor"].nunique() >= 6).all()


def test_builtin_counts_agree_with_the_document(builtin):
    assert len(builtin.frame) == 14_400
    counts = builtin.counts()
    assert len(counts) == 5 * 6 * 2
    assert set(counts["prompts"]) == {240}
    assert set(counts["descriptors"]) == {10}


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
        assert 5 <= len(prompt.split()) <= 15


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
    assert builtin.frame["prompt_id"].tolist() == list(range(14_400))
    part = builtin.select(axes=["religion"], split="test")
    assert set(part.frame["axis"]) == {"religion"}
    assert set(part.frame["split"]) == {"test"}
    merged = part.frame.merge(builtin.frame, on="prompt_id", suffixes=("", "_whole"))
    assert len(merged) == 1_440
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


def test_shares_of_every_axis_sum_to_one(builtin):
    for axis in AXES:
        assert builtin.group_shares(axis).sum() == pytest.approx(1, abs=1e-12)
    with pytest.raises(InputError, match="unknown axis 'gender'"):
        builtin.group_shares("gender")


def test_unknown_source_names_the_known_ones():
    with pytest.raises(InputError, match="did you mean 'builtin'"):
        load_prompts("buildin")


def test_fingerprint_survives_parquet(builtin, tmp_path):
    """A study keeps its own copy of the prompts in this format."""
    builtin.frame.to_parquet(tmp_path / "prompts.parquet")
    assert PromptSet("copy", pd.read_parquet(tmp_path / "prompts.parquet")).fingerprint == builtin.fingerprint
